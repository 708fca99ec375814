//! What sealing and opening need of a client.

use std::future::Future;

use crate::calls::data_keys::{IssuedKey, UnwrapRequest, UnwrappedKey};
use crate::client::Client;
use crate::error::{Error, Problem};
use crate::names::{Conversation, KeyspaceName};

/// Gives out and opens data keys: a [`Client`], or a stand-in where a program is tested without
/// the service.
pub trait KeySource: Send + Sync + 'static {
    /// See [`Client::issue`].
    fn issue(
        &self,
        keyspace: &KeyspaceName,
        conversation: &Conversation,
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
    async fn issue(
        &self,
        keyspace: &KeyspaceName,
        conversation: &Conversation,
    ) -> Result<IssuedKey, Error> {
        Self::issue(self, keyspace, conversation).await
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
