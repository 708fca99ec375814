//! The client: one connection pool, shared by all clones.

use std::sync::Arc;

use reqwest::Method;
use serde::Serialize;

use crate::clock::ServiceClock;
use crate::config::{ClientConfig, ConfigError};
use crate::error::Error;
use crate::names::KeyspaceName;
use crate::transport::{Answer, Connection, Prefer, Repeat, Request};

/// Speaks to one service over mutual TLS 1.3. Clones share the connections.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Reads the certificates. The first call connects. Proxy settings of the environment are ignored,
    /// because keys must not go through a proxy.
    ///
    /// # Errors
    /// An address that is not `https://host:port`, or files that do not make a TLS client.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            connection: Arc::new(Connection::new(config)?),
        })
    }

    /// The service's time, by which leases end.
    #[must_use]
    pub fn clock(&self) -> Arc<ServiceClock> {
        Arc::clone(&self.connection.clock)
    }

    pub(crate) async fn get(&self, path: String) -> Result<Answer, Error> {
        self.send(Request {
            method: Method::GET,
            path,
            body: None,
            repeat: Repeat::Safe,
            prefer: Prefer::Result,
        })
        .await
    }

    pub(crate) async fn post<T: Serialize + Sync>(
        &self,
        path: String,
        body: &T,
    ) -> Result<Answer, Error> {
        let body = to_json(body)?;
        self.post_bytes(path, body).await
    }

    /// Posts with a body may be repeated: a second key does no harm, and shreds have an id.
    pub(crate) async fn post_bytes(&self, path: String, body: Vec<u8>) -> Result<Answer, Error> {
        self.post_preferring(path, body, Prefer::Result).await
    }

    pub(crate) async fn post_preferring(
        &self,
        path: String,
        body: Vec<u8>,
        prefer: Prefer,
    ) -> Result<Answer, Error> {
        self.send(Request {
            method: Method::POST,
            path,
            body: Some(body),
            repeat: Repeat::Safe,
            prefer,
        })
        .await
    }

    pub(crate) async fn put<T: Serialize + Sync>(
        &self,
        path: String,
        body: &T,
    ) -> Result<Answer, Error> {
        let body = to_json(body)?;
        self.once(Method::PUT, path, Some(body)).await
    }

    /// A post without a body has no id, so a repetition would be another request.
    pub(crate) async fn order(&self, path: String) -> Result<Answer, Error> {
        self.once(Method::POST, path, None).await
    }

    /// A post whose path has the id: a repetition is the same request.
    pub(crate) async fn repeatable_order(&self, path: String) -> Result<Answer, Error> {
        self.send(Request {
            method: Method::POST,
            path,
            body: None,
            repeat: Repeat::Safe,
            prefer: Prefer::Result,
        })
        .await
    }

    /// All deletes of this client bear an id.
    pub(crate) async fn delete(&self, path: String) -> Result<Answer, Error> {
        self.send(Request {
            method: Method::DELETE,
            path,
            body: None,
            repeat: Repeat::Safe,
            prefer: Prefer::Result,
        })
        .await
    }

    async fn once(
        &self,
        method: Method,
        path: String,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Error> {
        self.send(Request {
            method,
            path,
            body,
            repeat: Repeat::Never,
            prefer: Prefer::Result,
        })
        .await
    }

    async fn send(&self, request: Request) -> Result<Answer, Error> {
        self.connection.send(request).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(..)")
    }
}

/// Path of a keyspace's resource; a keyspace name needs no escaping.
pub(crate) fn below(keyspace: &KeyspaceName, rest: &str) -> String {
    format!("/v1/keyspaces/{}{rest}", keyspace.as_str())
}

fn to_json<T: Serialize>(body: &T) -> Result<Vec<u8>, Error> {
    // Maps with string keys and strings only: serialising them cannot fail.
    serde_json::to_vec(body).map_err(|error| Error::unexpected(error.to_string()))
}
