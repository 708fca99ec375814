//! What sealing and opening need of a client.

use std::future::Future;
use std::sync::Arc;

use crate::calls::data_keys::{IssuedKey, UnwrapRequest, UnwrappedKey};
use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Problem};
use crate::names::{Conversation, KeyspaceName, Retention};

/// Gives out and opens data keys: a [`Client`], or a stand-in where a program is tested without
/// the service.
pub trait KeySource: Send + Sync + 'static {
    /// The time by which the leases of its keys end.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    /// See [`Client::issue_for`]; without a retention, the keyspace's own.
    fn issue(
        &self,
        keyspace: &KeyspaceName,
        conversation: &Conversation,
        retention: Option<&Retention>,
    ) -> impl Future<Output = Result<IssuedKey, Error>> + Send;

    /// See [`Client::unwrap`].
    fn unwrap(
        &self,
        keyspace: &KeyspaceName,
        request: &UnwrapRequest,
    ) -> impl Future<Output = Result<UnwrappedKey, Error>> + Send;

    /// See [`Client::unwrap_batch`].
    fn unwrap_batch(
        &self,
        keyspace: &KeyspaceName,
        requests: &[UnwrapRequest],
    ) -> impl Future<Output = Result<Vec<Result<UnwrappedKey, Problem>>, Error>> + Send;
}

impl KeySource for Client {
    fn clock(&self) -> Arc<dyn Clock> {
        Self::clock(self)
    }

    async fn issue(
        &self,
        keyspace: &KeyspaceName,
        conversation: &Conversation,
        retention: Option<&Retention>,
    ) -> Result<IssuedKey, Error> {
        match retention {
            None => Self::issue(self, keyspace, conversation).await,
            Some(retention) => Self::issue_for(self, keyspace, conversation, retention).await,
        }
    }

    async fn unwrap(
        &self,
        keyspace: &KeyspaceName,
        request: &UnwrapRequest,
    ) -> Result<UnwrappedKey, Error> {
        Self::unwrap(self, keyspace, request).await
    }

    async fn unwrap_batch(
        &self,
        keyspace: &KeyspaceName,
        requests: &[UnwrapRequest],
    ) -> Result<Vec<Result<UnwrappedKey, Problem>>, Error> {
        Self::unwrap_batch(self, keyspace, requests).await
    }
}
