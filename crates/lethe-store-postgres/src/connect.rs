//! Where the database is, and as whom to connect.

use std::fmt;
use std::path::PathBuf;

use lethe_core::ports::StoreError;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::session::SETTINGS;

/// By which others know the sessions of this store.
pub(crate) const APPLICATION: &str = "lethe";

/// How to connect to the database.
#[derive(Clone)]
pub struct Connect {
    /// A host name or address, or the folder of a socket.
    pub host: String,
    /// The port; of a socket too.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// None for a socket alone.
    pub tls: Option<Tls>,
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
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Connect {
    /// A password and all rows go in clear without TLS.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.tls.is_some() || self.host.starts_with('/') {
            return Ok(());
        }
        let why = "PostgreSQL is reached over a network without TLS: name its CA, or the folder of its socket";
        Err(StoreError::Unavailable(why.into()))
    }

    /// The settings go along with the connection: none of them can be left out by a session.
    pub(crate) fn options(&self) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&self.user)
            .password(self.password.as_deref().unwrap_or_default())
            .application_name(APPLICATION)
            .options(SETTINGS);
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
