//! `/v1/keyspaces/{ks}/shreds`

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::approvals::ApprovalId;
use crate::batch;
use crate::client::{Client, below};
use crate::error::{Error, ErrorCode, Problem};
use crate::names::KeyspaceName;
use crate::shred::{Shred, ShredId, ShredRequest, Shredded};
use crate::transport::{Answer, Prefer};
use crate::wire::{ItemError, required, time};

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
    /// The approval that the shred waits for, in the answer of an item of a batch.
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

/// After the approval a call with the same id returns the result.
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
    /// Shreds a conversation. Waits up to 10 s for the end, and then returns [`Shred::Accepted`].
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
        answer.parse::<ShredAnswer>()?.read(request.id())
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

    /// The same, but the answer comes as soon as all are accepted: most are [`Shred::Accepted`] then.
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
                    None => match item.read(request.id()) {
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

    /// Shreds a conversation and asks again until it is destroyed, or until `limit` has passed; the
    /// last answer shows which.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shred_and_wait(
        &self,
        keyspace: &KeyspaceName,
        request: &ShredRequest,
        limit: Duration,
    ) -> Result<Shred, Error> {
        let shred = self.shred(keyspace, request).await?;
        self.wait_until_destroyed(keyspace, shred, limit).await
    }

    /// Asks again until an accepted shred, or erasure, is destroyed, or until `limit` has passed; the
    /// last answer shows which.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn wait_until_destroyed(
        &self,
        keyspace: &KeyspaceName,
        mut shred: Shred,
        limit: Duration,
    ) -> Result<Shred, Error> {
        // None if it is later than any clock shows.
        let end = Instant::now().checked_add(limit);
        let over = || end.is_some_and(|end| Instant::now() >= end);
        let mut pause = Duration::from_millis(100);
        while matches!(shred, Shred::Accepted { .. }) && !over() {
            let until = Instant::now() + pause;
            tokio::time::sleep_until(end.map_or(until, |end| until.min(end))).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            match self.shred_status(keyspace, shred.id()).await {
                Ok(later) => shred = later.or_opening_of(shred),
                // Many that wait ask more often than the service's quota of calls lets them.
                Err(error) if matches!(error.code(), Some(ErrorCode::QuotaExceeded)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(shred)
    }
}
