use std::io;
use std::sync::Arc;

use lethe_tls::{Bounded, KeyExchange, provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, version};

use super::{Files, wrong};

/// TLS 1.3 only; a client must show a certificate of one of the CAs.
pub(crate) fn config(files: &Files) -> io::Result<Arc<ServerConfig>> {
    let provider = provider(KeyExchange::HybridPreferred);
    let (roots, anchors) = files.authorities()?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .map_err(|error| wrong(&files.ca, &error))?;
    let verifier: Bounded<dyn ClientCertVerifier> = Bounded::new(anchors, verifier);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(files.chain()?, files.private_key()?)
        .map_err(|error| wrong(&files.certificate, &error))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
