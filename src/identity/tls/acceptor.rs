use std::path::Path;
use std::sync::Arc;

use lethe_core::time::Timestamp;
use lethe_tls::{KeyExchange, is_hybrid, provider};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::{ServerConfig, version};

use super::clients::Clients;
use super::files::{TlsError, chain, file, private_key};
use super::list_marks::ListMarks;
use super::server_certificate::ServerCertificate;
use crate::config::ServerSection;

/// TLS of the API, made from the files at one moment.
#[derive(Debug, Clone)]
pub struct Tls {
    /// TLS settings for clients that know a hybrid key exchange.
    hybrid: Arc<ServerConfig>,
    /// TLS settings for other clients; none if the configuration refuses them.
    classical: Option<Arc<ServerConfig>>,
    /// Which client certificates are accepted.
    pub clients: Arc<Clients>,
    certificate: ServerCertificate,
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
        let server = |key_exchange| {
            let clients = Arc::clone(&clients);
            server_config(&section.certificate, &section.key, clients, key_exchange)
        };
        let hybrid = server(KeyExchange::HybridRequired)?;
        let classical = match section.key_exchange {
            KeyExchange::HybridRequired => None,
            KeyExchange::HybridPreferred => Some(server(KeyExchange::HybridPreferred)?),
        };
        let certificate = ServerCertificate::new(chain(&section.certificate)?);
        let certificate = certificate.map_err(|reason| file(&section.certificate, &reason))?;
        Ok(Self {
            hybrid,
            classical,
            clients,
            certificate,
        })
    }

    /// End of the server's certificate, or of one behind it that ends sooner.
    #[must_use]
    pub const fn certificate_end(&self) -> Timestamp {
        self.certificate.end
    }

    /// Why clients refuse the server's certificate, or one behind it, at a time.
    #[must_use]
    pub fn certificate_trouble(&self, now: Timestamp) -> Option<&'static str> {
        self.certificate.trouble(now)
    }

    /// Checks whether these files may replace the ones in force.
    ///
    /// # Errors
    /// If their server certificate is one that clients refuse now. If that certificate is in force
    /// already, the other files are still read, above all revocation lists.
    pub fn may_replace(&self, other: &Self, now: Timestamp) -> Result<(), &'static str> {
        match self.certificate.trouble(now) {
            Some(trouble) if self.certificate != other.certificate => Err(trouble),
            _ => Ok(()),
        }
    }

    /// How far the revocation lists have come.
    #[must_use]
    pub fn list_marks(&self) -> ListMarks {
        self.clients.newest_lists()
    }

    /// The TLS settings for a client. rustls follows the client's order of key exchanges, so a client
    /// that offers a hybrid one is offered no other.
    #[must_use]
    pub fn config_for(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let groups = hello.named_groups().unwrap_or_default();
        let config = match &self.classical {
            Some(classical) if !groups.iter().any(|group| is_hybrid(*group)) => classical,
            _ => &self.hybrid,
        };
        Arc::clone(config)
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
    key_exchange: KeyExchange,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider(key_exchange))
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
