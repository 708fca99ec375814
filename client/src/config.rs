//! How to reach the service.

use std::path::PathBuf;
use std::time::Duration;

use crate::retry::RetryPolicy;

/// Everything that [`crate::Client::new`] needs.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The service's address: `https://host:port`, without a path.
    pub server: String,
    /// PEM file of the authorities that may have signed the service's certificate.
    pub ca: PathBuf,
    /// PEM file of this client's certificate, with its chain.
    pub certificate: PathBuf,
    /// PEM file of the private key of `certificate`.
    pub key: PathBuf,
    /// How long to wait for connections and answers.
    pub timeouts: Timeouts,
    /// How often, and after which pauses, a failed call is repeated.
    pub retries: RetryPolicy,
}

impl ClientConfig {
    /// With the default timeouts and retries.
    pub fn new(
        server: impl Into<String>,
        ca: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            server: server.into(),
            ca: ca.into(),
            certificate: certificate.into(),
            key: key.into(),
            timeouts: Timeouts::default(),
            retries: RetryPolicy::default(),
        }
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How long making a connection may take, with TLS.
    pub connect: Duration,
    /// For one attempt, answer included. A shred may take 10 s before it answers 202.
    pub attempt: Duration,
    /// For a call with all its attempts and the pauses between them.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(15),
            call: Duration::from_secs(45),
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The service's address is not valid.
    #[error("the server must be https://host:port, not {0:?}")]
    Server(String),
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// Why it cannot be read.
        reason: String,
    },
    /// No TLS client can be made from the certificates.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}
