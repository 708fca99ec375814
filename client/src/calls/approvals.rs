//! `/v1/approvals`

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::Client;
use crate::error::{Error, Problem};
use crate::wire::ItemError;

/// The id of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApprovalId(Uuid);

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ApprovalId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl TryFrom<String> for ApprovalId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, uuid::Error> {
        text.parse()
    }
}

impl From<ApprovalId> for String {
    fn from(id: ApprovalId) -> Self {
        id.to_string()
    }
}

/// An approval, as the service shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// The approval's id.
    pub id: ApprovalId,
    /// What it is for, such as `shred`, `keyspace_erase` or `clock_confirmation`.
    pub kind: String,
    /// The keyspace; none if it concerns the whole deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyspace: Option<String>,
    /// SPIFFE id of the client that asked.
    pub asked_by: String,
    /// When the client asked, as RFC 3339 text.
    pub asked_at: String,
    /// Until when it can be approved, as RFC 3339 text.
    pub expires_at: String,
    /// What else the service shows: state, number of conversations, version.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// Most approvals that the service accepts in one call.
const MOST_AT_ONCE: usize = 100;

#[derive(Deserialize)]
struct Items {
    items: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Page {
    approvals: Vec<Approval>,
    #[serde(default)]
    next: Option<ApprovalId>,
}

impl Client {
    /// All approvals that wait, oldest first, page by page. Role: operator.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn approvals(&self) -> Result<Vec<Approval>, Error> {
        let mut all: Vec<Approval> = Vec::new();
        let mut path = "/v1/approvals".to_owned();
        loop {
            let page: Page = self.get(path).await?.parse()?;
            all.extend(page.approvals);
            let Some(after) = page.next else {
                return Ok(all);
            };
            path = format!("/v1/approvals?after={after}");
        }
    }

    /// Approves an approval, and its action is done. The answer is that of the call that asked for it,
    /// without openings. A second call changes nothing. Role: operator, but not the one who asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn approve(&self, id: ApprovalId) -> Result<serde_json::Value, Error> {
        let path = format!("/v1/approvals/{id}");
        self.repeatable_order(path).await?.parse()
    }

    /// One approval, with the key of its digest. Role: operator, or the client that asked for it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn approval(&self, id: ApprovalId) -> Result<Approval, Error> {
        self.get(format!("/v1/approvals/{id}")).await?.parse()
    }

    /// Approves several, each as [`Self::approve`] does. Returns the result of each, in order.
    ///
    /// # Errors
    /// See [`Error`]; the refusal of one is in its place. After an error of the whole call send all of
    /// it again.
    pub async fn approve_many(
        &self,
        ids: &[ApprovalId],
    ) -> Result<Vec<Result<serde_json::Value, Problem>>, Error> {
        let mut results = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MOST_AT_ONCE) {
            let body = serde_json::json!({ "ids": ids });
            let answer = self.post("/v1/approvals".to_owned(), &body).await?;
            let Items { items } = answer.parse()?;
            if items.len() != ids.len() {
                return Err(Error::unexpected("not as many items as were sent"));
            }
            for item in items {
                results.push(match item.get("error") {
                    None => Ok(item),
                    Some(error) => {
                        let error = serde_json::from_value::<ItemError>(error.clone());
                        let unexpected = |_| Error::unexpected("an unknown error");
                        Err(error.map_err(unexpected)?.into())
                    }
                });
            }
        }
        Ok(results)
    }

    /// Withdraws an approval, so that nothing is done. A second call changes nothing. Role: operator,
    /// or the client that asked for it.
    ///
    /// # Errors
    /// See [`Error`]; [`ErrorCode::Conflict`](crate::ErrorCode::Conflict) when it waits no more.
    pub async fn withdraw_approval(&self, id: ApprovalId) -> Result<Approval, Error> {
        let path = format!("/v1/approvals/{id}");
        self.delete(path).await?.parse()
    }
}
