use std::path::{Path, PathBuf};

use lethe_tls::pem;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::is_open_to_all;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or used.
    #[error("{path}: {reason}")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The revocation lists cannot be used.
    #[error("server.client_crls: {0}")]
    Lists(String),
    /// The server's certificate cannot be used with its key.
    #[error("the server's certificate cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    if is_open_to_all(path) {
        return Err(file(path, &"every user may read this key: chmod o= it"));
    }
    pem::private_key(&zeroize::Zeroizing::new(read(path)?)).map_err(|error| file(path, &error))
}

pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem::certificates(&read(path)?).map_err(|error| file(path, &error))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| file(path, &error))
}

pub(super) fn file(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
