use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::is_open_to_all;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key together.
    #[error("the server's certificate cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    if is_open_to_all(path) {
        return Err(file(path, &"every user may read this key: chmod o= it"));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| file(path, &error))
}

pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| file(path, &error))?;
    let certificates: Vec<_> = certificates
        .collect::<Result<_, _>>()
        .map_err(|error| file(path, &error))?;
    if certificates.is_empty() {
        return Err(file(path, &"holds no certificate"));
    }
    Ok(certificates)
}

pub(super) fn file(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
