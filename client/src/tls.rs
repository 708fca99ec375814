//! TLS 1.3 with a client certificate; no session resumption, so that a revocation counts at the
//! next connection.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, crypto::aws_lc_rs};
use zeroize::Zeroizing;

use crate::config::{ClientConfig, ConfigError};

pub(crate) fn client_config(config: &ClientConfig) -> Result<rustls::ClientConfig, ConfigError> {
    let tls = |error: rustls::Error| ConfigError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&config.ca)? {
        roots.add(certificate).map_err(tls)?;
    }
    let mut client =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                certificates(&config.certificate)?,
                private_key(&config.key)?,
            )
            .map_err(tls)?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(client)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| file_error(path, &error))?;
    if found.is_empty() {
        return Err(file_error(path, &"no certificate in it"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| file_error(path, &error))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| file_error(path, &error))
}

fn file_error(path: &Path, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
