//! `/v1/approvals`

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::Client;
use crate::error::{Error, Problem};
use crate::wire::ItemError;

/// Names what waits for a second operator.
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

/// What waits for a second operator, as the service shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// Such as `shred`, `keyspace_erase` or `clock_confirmation`.
    pub kind: String,
    /// Where; none where it concerns the whole deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyspace: Option<String>,
    /// SPIFFE id of who asked.
    pub asked_by: String,
    /// When, as the service writes it.
    pub asked_at: String,
    /// Until when it can be approved.
    pub expires_at: String,
    /// What else the service tells: state, number of conversations, version.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// The service takes no more in one call.
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
    /// All that waits for a second operator, oldest first, page by page. Role: operator.
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

    /// Approves what waits: it is done, and answered as the call that asked for it would have
    /// been, without openings. Twice is once. Role: operator, but not the one who asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn approve(&self, id: ApprovalId) -> Result<serde_json::Value, Error> {
        let path = format!("/v1/approvals/{id}");
        self.repeatable_order(path).await?.parse()
    }

    /// One of them, with what its digest is computed with. Role: operator, or who asked for it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn approval(&self, id: ApprovalId) -> Result<Approval, Error> {
        self.get(format!("/v1/approvals/{id}")).await?.parse()
    }

    /// Approves several, each as [`Self::approve`] does; what became of each, in order.
    ///
    /// # Errors
    /// See [`Error`]; one's refusal stands in its place. After an error of the whole call send all of
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

    /// Takes back what waits: nothing that it was for is done. Twice is once. Role: operator, or who
    /// asked for it.
    ///
    /// # Errors
    /// See [`Error`]; [`ErrorCode::Conflict`](crate::ErrorCode::Conflict) when it waits no more.
    pub async fn withdraw_approval(&self, id: ApprovalId) -> Result<Approval, Error> {
        let path = format!("/v1/approvals/{id}");
        self.delete(path).await?.parse()
    }
}
