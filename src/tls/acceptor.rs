use std::path::Path;
use std::sync::Arc;

use lethe_core::time::Timestamp;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, version};

use super::clients::Clients;
use super::files::{TlsError, chain, private_key};
use super::peer::Peer;
use crate::config::ServerSection;

/// TLS of the API as the files of one moment make it.
#[derive(Debug, Clone)]
pub struct Tls {
    /// For new connections.
    pub server: Arc<ServerConfig>,
    /// Who gets in.
    pub clients: Arc<Clients>,
    /// End of the server's certificate.
    pub certificate_end: Timestamp,
}

impl Tls {
    /// Reads all files that the configuration names.
    ///
    /// # Errors
    /// [`TlsError`] with the file.
    pub fn load(section: &ServerSection, now: Timestamp) -> Result<Self, TlsError> {
        let clients = Clients::load(
            &section.client_ca,
            &section.client_crls,
            section.expired_crls,
            now,
        )?;
        let clients = Arc::new(clients);
        let server = server_config(&section.certificate, &section.key, Arc::clone(&clients))?;
        let own = chain(&section.certificate)?;
        let end = own.first().map(|own| Peer::of(own).not_after);
        Ok(Self {
            server,
            clients,
            certificate_end: end.unwrap_or(Timestamp::from_millis(0)),
        })
    }
}

/// TLS 1.3 only; a client must show a certificate that `clients` take. No session resumption: a
/// resumed session would outlive a revocation.
///
/// # Errors
/// [`TlsError`] with the file.
pub fn server_config(
    certificate: &Path,
    key: &Path,
    clients: Arc<Clients>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain(certificate)?, private_key(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
