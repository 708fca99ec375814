use std::path::Path;
use std::sync::Arc;

use lethe_tls::{KeyExchange, provider};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use crate::error::BenchError;
use crate::identity::Identity;
use crate::pki;

/// As the service's: TLS 1.3 only, a client certificate required, no tickets, no resumption.
pub(super) fn acceptor(folder: &Path) -> Result<TlsAcceptor, BenchError> {
    let identity = Identity::in_folder(folder, pki::SERVER);
    let provider = provider(KeyExchange::HybridPreferred);
    let roots = Arc::new(identity.roots()?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(BenchError::tls)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(BenchError::tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain()?, identity.private_key()?)
        .map_err(BenchError::tls)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
