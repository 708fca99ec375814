//! Where the database is, and as whom to connect.

use std::fmt;
use std::path::PathBuf;

use lethe_core::ports::StoreError;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::errors::failed;
use crate::session::{KEEPALIVE, SETTINGS};

/// By which others know the sessions of this store.
pub(crate) const APPLICATION: &str = "lethe";

/// What sqlx takes from the environment and cannot be told to leave out.
const ENVIRONMENT: [&str; 3] = ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"];

/// How to connect to the database.
#[derive(Clone)]
pub struct Connect {
    /// The copies of the database: at least one.
    pub hosts: Vec<Host>,
    /// On how many members something has to be before it is answered or used, from 1.
    pub durable_on: u32,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// None for a socket alone.
    pub tls: Option<Tls>,
}

/// One copy of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name under which it follows another copy: its `application_name`.
    pub name: String,
    /// A host name or address, or the folder of a socket.
    pub host: String,
    /// The port; of a socket too.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Who signs the server's certificate.
    pub ca: PathBuf,
    /// This client's certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Connect {
    /// A password and all rows would go in clear over a network without TLS. What is here alone says how to connect.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let refused = |why: &str| Err(StoreError::Unavailable(why.into()));
        let is_set = |name: &&str| std::env::var_os(name).is_some();
        if let Some(name) = ENVIRONMENT.into_iter().find(is_set) {
            return refused(&format!(
                "the environment sets {name}, which would change the connection to PostgreSQL: unset it"
            ));
        }
        let mut sockets = self.hosts.iter().map(|it| it.host.starts_with('/'));
        match &self.tls {
            Some(_) if sockets.any(|is_socket| is_socket) => {
                refused("PostgreSQL has no TLS on a socket: leave out either")
            }
            Some(tls) => tls.check(),
            None if sockets.all(|is_socket| is_socket) => Ok(()),
            None => refused(
                "PostgreSQL is reached over a network without TLS: name its CA, or the folder of its socket",
            ),
        }
    }

    /// The settings go along with the connection: none of them can be left out by a session.
    pub(crate) fn options(&self, host: &Host) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&host.host)
            .port(host.port)
            .database(&self.database)
            .username(&self.user)
            .password(self.password.as_deref().unwrap_or_default())
            .application_name(APPLICATION)
            .options(SETTINGS)
            .options(KEEPALIVE);
        options = match &self.tls {
            None => options.ssl_mode(PgSslMode::Disable),
            Some(tls) => options
                .ssl_mode(PgSslMode::VerifyFull)
                .ssl_root_cert(&tls.ca),
        };
        if let Some((certificate, key)) = self.tls.as_ref().and_then(|it| it.certificate.as_ref()) {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        options.disable_statement_logging()
    }
}

impl Tls {
    /// Later errors do not name the file.
    fn check(&self) -> Result<(), StoreError> {
        let own = self.certificate.iter().flat_map(|(own, key)| [own, key]);
        for path in own.chain([&self.ca]) {
            std::fs::read(path).map_err(|error| {
                failed(
                    "TLS of PostgreSQL",
                    &format!("cannot read {}: {error}", path.display()),
                )
            })?;
        }
        Ok(())
    }
}
