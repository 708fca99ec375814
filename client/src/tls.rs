//! TLS 1.3 with a client certificate; no session resumption, so that a revocation counts at the
//! next connection.

use std::path::Path;
use std::sync::Arc;

use lethe_tls::{Bounded, KeyExchange, TrustAnchors, pem, provider};
use rustls::RootCertStore;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::config::{ClientConfig, ConfigError};

pub(crate) fn client_config(config: &ClientConfig) -> Result<rustls::ClientConfig, ConfigError> {
    let tls = |error: rustls::Error| ConfigError::Tls(error.to_string());
    let provider = provider(KeyExchange::HybridPreferred);
    let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(&config.ca, provider)?))
        .with_client_auth_cert(
            certificates(&config.certificate)?,
            private_key(&config.key)?,
        )
        .map_err(tls)?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(client)
}

/// webpki's rules for a server's certificate, on a path within bounds: a server that is not ours may
/// send any chain.
fn verifier(
    ca: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Bounded<WebPkiServerVerifier>, ConfigError> {
    let authorities = certificates(ca)?;
    let anchors = TrustAnchors::new(&authorities).map_err(|error| file_error(ca, &error))?;
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        let added = roots.add(certificate);
        added.map_err(|error| file_error(ca, &error))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    let verifier = verifier.map_err(|error| file_error(ca, &error))?;
    Ok(Bounded::new(anchors, verifier))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    pem::certificates(&read(path)?).map_err(|error| file_error(path, &error))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    pem::private_key(&read(path)?).map_err(|error| file_error(path, &error))
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
