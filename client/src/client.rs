//! The client: one connection pool, shared by all clones.

use std::sync::Arc;

use reqwest::Method;
use serde::Serialize;

use crate::config::{ClientConfig, ConfigError};
use crate::error::Error;
use crate::names::KeyspaceName;
use crate::transport::{Answer, Connection, Repeat, Request};

/// Speaks to one service over mutual TLS 1.3. Clones share the connections.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Reads the certificates; connects with the first call. Ignores proxy settings of the
    /// environment: keys take no detour.
    ///
    /// # Errors
    /// An address that is not `https://host:port`, or files that do not make a TLS client.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            connection: Arc::new(Connection::new(config)?),
        })
    }

    pub(crate) async fn get(&self, path: String) -> Result<Answer, Error> {
        self.send(Method::GET, path, None, Repeat::Safe).await
    }

    pub(crate) async fn post<T: Serialize + Sync>(
        &self,
        path: String,
        body: &T,
    ) -> Result<Answer, Error> {
        let body = to_json(body)?;
        self.post_bytes(path, body).await
    }

    /// All posts of this client may be repeated: keys, because another key does no harm, and
    /// shreds, because they bear an id.
    pub(crate) async fn post_bytes(&self, path: String, body: Vec<u8>) -> Result<Answer, Error> {
        self.send(Method::POST, path, Some(body), Repeat::Safe)
            .await
    }

    pub(crate) async fn put<T: Serialize + Sync>(
        &self,
        path: String,
        body: &T,
    ) -> Result<Answer, Error> {
        let body = to_json(body)?;
        self.send(Method::PUT, path, Some(body), Repeat::Never)
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: String,
        body: Option<Vec<u8>>,
        repeat: Repeat,
    ) -> Result<Answer, Error> {
        let request = Request {
            method,
            path,
            body,
            repeat,
        };
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
