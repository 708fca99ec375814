//! `/v1/keyspaces/{ks}/shreds`

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::approvals::ApprovalId;
use crate::batch;
use crate::client::{Client, below};
use crate::error::{Error, ErrorCode, Problem};
use crate::names::{Conversation, InvalidName, KeyspaceName};
use crate::transport::{Answer, Prefer};
use crate::wire::{ItemError, required, time};

/// Names one wish to shred, or to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShredId(Uuid);

impl ShredId {
    /// A new one: 74 random bits behind the time of this machine in milliseconds (UUID version 7).
    /// Ids that follow each other in time then lie beside each other in the service's index, which
    /// stays compact; drawn without order, each would touch a page of its own.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for ShredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ShredId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl TryFrom<String> for ShredId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, uuid::Error> {
        text.parse()
    }
}

impl From<ShredId> for String {
    fn from(id: ShredId) -> Self {
        id.to_string()
    }
}

/// A wish to shred a conversation. It bears its id from the start: write it down before sending.
/// Sent again, after a crash or a lost answer, it returns the first result instead of destroying
/// what was written in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ShredBody", into = "ShredBody")]
pub struct ShredRequest {
    id: ShredId,
    conversation: Conversation,
    reason: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct ShredBody {
    id: ShredId,
    conversation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl ShredRequest {
    /// Draws a new id.
    #[must_use]
    pub fn new(conversation: Conversation) -> Self {
        Self::with_id(ShredId::random(), conversation)
    }

    /// One that was written down earlier.
    #[must_use]
    pub const fn with_id(id: ShredId, conversation: Conversation) -> Self {
        Self {
            id,
            conversation,
            reason: None,
        }
    }

    /// With why, in at most 256 characters: for the service's audit record and the second operator. All
    /// requests of a batch bear one reason.
    #[must_use]
    pub fn because(mut self, reason: Option<&str>) -> Self {
        self.reason = reason.map(str::to_owned);
        self
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> ShredId {
        self.id
    }

    /// What it shreds.
    #[must_use]
    pub const fn conversation(&self) -> &Conversation {
        &self.conversation
    }
}

impl TryFrom<ShredBody> for ShredRequest {
    type Error = InvalidName;

    fn try_from(body: ShredBody) -> Result<Self, InvalidName> {
        let request = Self::with_id(body.id, body.conversation.parse()?);
        Ok(request.because(body.reason.as_deref()))
    }
}

impl From<ShredRequest> for ShredBody {
    fn from(request: ShredRequest) -> Self {
        Self {
            id: request.id,
            conversation: request.conversation.as_str().to_owned(),
            reason: request.reason,
        }
    }
}

/// How far a shred is.
#[derive(Debug, Clone, PartialEq)]
pub enum Shred {
    /// It is never taken back and every key of the conversation is refused from now on; the keys
    /// are not yet destroyed everywhere.
    Accepted {
        /// Its id.
        id: ShredId,
        /// Since when the keys are refused.
        accepted_at: Option<Timestamp>,
        /// As in [`Shredded::opening`]; the caller keeps it, because later answers may not have it.
        opening: Value,
    },
    /// It is irrevocable.
    Destroyed(Box<Shredded>),
}

impl Shred {
    /// The id of the shred.
    #[must_use]
    pub const fn id(&self) -> ShredId {
        match self {
            Self::Accepted { id, .. } => *id,
            Self::Destroyed(shredded) => shredded.id,
        }
    }

    /// With the opening of an earlier answer, where this one bears none: a question by id alone
    /// cannot be answered with it.
    #[must_use]
    pub fn or_opening_of(mut self, earlier: Self) -> Self {
        let mine = match &mut self {
            Self::Accepted { opening, .. } => opening,
            Self::Destroyed(shredded) => &mut shredded.opening,
        };
        if mine.is_null() {
            *mine = match earlier {
                Self::Accepted { opening, .. } => opening,
                Self::Destroyed(shredded) => shredded.opening,
            };
        }
        self
    }
}

/// A finished shred, or a finished erasure of a keyspace or of a key version.
#[derive(Debug, Clone, PartialEq)]
pub struct Shredded {
    /// Its id.
    pub id: ShredId,
    /// Since when the keys are refused.
    pub accepted_at: Timestamp,
    /// When they were destroyed.
    pub destroyed_at: Timestamp,
    /// When the last lease of a plaintext key given out can have ended.
    pub leases_end_at: Timestamp,
    /// The signed receipt, as it came: verify it with `lethe receipt verify`.
    pub receipt: Value,
    /// Shows which conversation the receipt speaks of. Its owner's to keep; null where the receipt
    /// speaks of none, and where it was asked for by its id alone.
    pub opening: Value,
}

#[derive(Deserialize)]
pub(super) struct ShredAnswer {
    id: Option<ShredId>,
    state: Option<String>,
    #[serde(default, deserialize_with = "time")]
    accepted_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    destroyed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    leases_end_at: Option<Timestamp>,
    receipt: Option<Value>,
    opening: Option<Value>,
    error: Option<ItemError>,
    /// Of an item of a batch.
    approval: Option<ApprovalId>,
}

#[derive(Deserialize)]
struct ItemsAnswer {
    items: Vec<ShredAnswer>,
}

impl ShredAnswer {
    /// It waits for a second operator. The answer of a call is about the approval, an item of a batch
    /// about the shred.
    pub(super) fn waiting(self) -> Result<Error, Error> {
        let approval = self.approval.map(|id| id.to_string());
        let approval = approval.or_else(|| self.id.map(|id| id.to_string()));
        Ok(waits(&required(approval, "id")?).into())
    }

    /// `expected` is the id that was sent; an answer about another shred is refused.
    pub(super) fn read(self, expected: ShredId) -> Result<Shred, Error> {
        if self.state.as_deref() == Some("approval_required") {
            return Err(self.waiting()?);
        }
        if required(self.id, "id")? != expected {
            return Err(Error::unexpected("it is about another shred"));
        }
        let destroyed = match self.state.as_deref() {
            Some("destroyed") => true,
            Some("accepted") => false,
            Some(_) => return Err(Error::unexpected("an unknown state")),
            None => self.destroyed_at.is_some(),
        };
        if !destroyed {
            return Ok(Shred::Accepted {
                id: expected,
                accepted_at: self.accepted_at,
                opening: self.opening.unwrap_or(Value::Null),
            });
        }
        Ok(Shred::Destroyed(Box::new(Shredded {
            id: expected,
            accepted_at: required(self.accepted_at, "accepted_at")?,
            destroyed_at: required(self.destroyed_at, "destroyed_at")?,
            leases_end_at: required(self.leases_end_at, "leases_end_at")?,
            receipt: required(self.receipt, "receipt")?,
            opening: self.opening.unwrap_or(Value::Null),
        })))
    }
}

/// What is no shred waits for a second operator: the approval, in place of the result.
pub(super) fn result_or_wait(answer: &Answer) -> Result<serde_json::Value, Error> {
    let value: serde_json::Value = answer.parse()?;
    if value["state"] == "approval_required" {
        return Err(answer.parse::<ShredAnswer>()?.waiting()?);
    }
    Ok(value)
}

/// To be sent again under the same id once it is approved: then it returns the result.
fn waits(approval: &str) -> Problem {
    Problem {
        code: ErrorCode::ApprovalRequired,
        status: Some(202),
        detail: format!(
            "nothing is done yet: a second operator has to say `lethe approve {approval}`"
        ),
        retry_after: None,
        request_id: None,
    }
}

impl Client {
    /// Shreds a conversation; waits up to 10 s for the end and answers [`Shred::Accepted`] then.
    /// Role: message-server or operator.
    ///
    /// # Errors
    /// See [`Error`]. After any error send the same request again: it may have been accepted. With
    /// [`ErrorCode::ApprovalRequired`] it waits for a second operator.
    pub async fn shred(
        &self,
        keyspace: &KeyspaceName,
        request: &ShredRequest,
    ) -> Result<Shred, Error> {
        let answer = self.post(below(keyspace, "/shreds"), request).await?;
        answer.parse::<ShredAnswer>()?.read(request.id)
    }

    /// Shreds any number of conversations, in order.
    ///
    /// # Errors
    /// See [`Error`]; one item's refusal stands in its place. After an error of the whole call
    /// send all of it again.
    pub async fn shred_batch(
        &self,
        keyspace: &KeyspaceName,
        requests: &[ShredRequest],
    ) -> Result<Vec<Result<Shred, Problem>>, Error> {
        self.send_shreds(keyspace, requests, Prefer::Result).await
    }

    /// The same, but answered as soon as all of them are accepted: [`Shred::Accepted`] is the
    /// rule then.
    ///
    /// # Errors
    /// As [`Self::shred_batch`].
    pub async fn accept_shred_batch(
        &self,
        keyspace: &KeyspaceName,
        requests: &[ShredRequest],
    ) -> Result<Vec<Result<Shred, Problem>>, Error> {
        self.send_shreds(keyspace, requests, Prefer::Acceptance)
            .await
    }

    async fn send_shreds(
        &self,
        keyspace: &KeyspaceName,
        requests: &[ShredRequest],
        prefer: Prefer,
    ) -> Result<Vec<Result<Shred, Problem>>, Error> {
        let chunks =
            batch::chunks(requests).map_err(|error| Error::unexpected(error.to_string()))?;
        let mut results = Vec::with_capacity(requests.len());
        for chunk in chunks {
            let path = below(keyspace, "/shreds");
            let answer = self.post_preferring(path, chunk.body, prefer).await?;
            let items = answer.parse::<ItemsAnswer>()?.items;
            if items.len() != chunk.items {
                return Err(Error::unexpected("not as many items as were sent"));
            }
            for mut item in items {
                let request = &requests[results.len()];
                results.push(match item.error.take() {
                    Some(error) => Err(error.into()),
                    None => match item.read(request.id) {
                        Err(Error::Service(problem)) => Err(problem),
                        read => Ok(read?),
                    },
                });
            }
        }
        Ok(results)
    }

    /// How far a shred is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shred_status(&self, keyspace: &KeyspaceName, id: ShredId) -> Result<Shred, Error> {
        let answer = self.get(below(keyspace, &format!("/shreds/{id}"))).await?;
        answer.parse::<ShredAnswer>()?.read(id)
    }

    /// Shreds a conversation and asks again until it is destroyed, or until `patience` ends; the
    /// last answer tells which.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shred_and_wait(
        &self,
        keyspace: &KeyspaceName,
        request: &ShredRequest,
        patience: Duration,
    ) -> Result<Shred, Error> {
        let shred = self.shred(keyspace, request).await?;
        self.wait_until_destroyed(keyspace, shred, patience).await
    }

    /// Asks again until an accepted shred, or erasure, is destroyed, or until `patience` ends; the
    /// last answer tells which.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn wait_until_destroyed(
        &self,
        keyspace: &KeyspaceName,
        mut shred: Shred,
        patience: Duration,
    ) -> Result<Shred, Error> {
        // None: later than any clock shows.
        let end = Instant::now().checked_add(patience);
        let over = || end.is_some_and(|end| Instant::now() >= end);
        let mut pause = Duration::from_millis(100);
        while matches!(shred, Shred::Accepted { .. }) && !over() {
            let until = Instant::now() + pause;
            tokio::time::sleep_until(end.map_or(until, |end| until.min(end))).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            let later = self.shred_status(keyspace, shred.id()).await?;
            shred = later.or_opening_of(shred);
        }
        Ok(shred)
    }
}
