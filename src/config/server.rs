use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lethe_tls::KeyExchange;
use serde::Deserialize;

/// `server.expired_crls`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpiredCrls {
    /// Clients of that CA are refused until there is a newer list.
    #[default]
    Refuse,
    /// Clients of that CA are accepted unless the list names them. Later revocations are not known.
    Accept,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Address of the API.
    pub listen: SocketAddr,
    /// Address of health, readiness and metrics; plain HTTP.
    #[serde(default = "ops_listen")]
    pub ops_listen: SocketAddr,
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key of that certificate, PEM.
    pub key: PathBuf,
    /// CA certificates of clients, PEM.
    pub client_ca: PathBuf,
    /// Revocation lists of clients, PEM or DER; when there are any, each client CA needs one.
    #[serde(default)]
    pub client_crls: Vec<PathBuf>,
    /// The file that says how far the lists had come, so that no older list is taken after a restart.
    /// Without it this is forgotten at a restart.
    #[serde(default)]
    pub crl_marks: Option<PathBuf>,
    /// Whether clients of a CA are accepted when the `nextUpdate` of its list has passed.
    #[serde(default)]
    pub expired_crls: ExpiredCrls,
    /// Whether a client must use a post-quantum key exchange.
    #[serde(default)]
    pub key_exchange: KeyExchange,
    /// Connections of clients with a grant that are open at once.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// Connections to the ops listener that are open at once.
    #[serde(default = "ops_max_connections")]
    pub ops_max_connections: usize,
    /// How long a TLS handshake may take, and the head of a request.
    #[serde(
        default = "header_timeout",
        deserialize_with = "super::span::deserialize"
    )]
    pub header_timeout: Duration,
    /// How long a connection may be open without a request.
    #[serde(
        default = "idle_timeout",
        deserialize_with = "super::span::deserialize"
    )]
    pub idle_timeout: Duration,
    /// How long a request may take, from its head to its answer.
    #[serde(
        default = "request_timeout",
        deserialize_with = "super::span::deserialize"
    )]
    pub request_timeout: Duration,
    /// How long requests under way may go on when the service stops.
    #[serde(
        default = "shutdown_grace",
        deserialize_with = "super::span::deserialize"
    )]
    pub shutdown_grace: Duration,
}

fn ops_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8444))
}

const fn max_connections() -> usize {
    10_000
}

const fn ops_max_connections() -> usize {
    64
}

const fn header_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn idle_timeout() -> Duration {
    Duration::from_secs(60)
}

const fn request_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn shutdown_grace() -> Duration {
    Duration::from_secs(10)
}

impl ServerSection {
    /// Whether another section differs in an option that only a restart can change.
    #[must_use]
    pub fn differs_beyond_tls(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.certificate.clone_from(&self.certificate);
        other.key.clone_from(&self.key);
        other.client_ca.clone_from(&self.client_ca);
        other.client_crls.clone_from(&self.client_crls);
        other.expired_crls = self.expired_crls;
        other.key_exchange = self.key_exchange;
        *self != other
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.max_connections == 0 {
            return Err("server.max_connections must be at least 1".into());
        }
        if self.ops_max_connections < 2 {
            return Err("server.ops_max_connections must be at least 2".into());
        }
        super::span::check("server.header_timeout", self.header_timeout)?;
        super::span::check("server.idle_timeout", self.idle_timeout)?;
        super::span::check("server.request_timeout", self.request_timeout)?;
        // Zero is allowed: then the service stops at once.
        if self.shutdown_grace.is_zero() {
            return Ok(());
        }
        super::span::check("server.shutdown_grace", self.shutdown_grace)
    }
}
