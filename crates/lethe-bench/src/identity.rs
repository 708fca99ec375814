//! Which server a client speaks to, and as whom.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_tls::{KeyExchange, provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::error::BenchError;

/// PEM files of one side of mTLS.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// PEM file of the CA that is trusted.
    pub(crate) authority: PathBuf,
    /// PEM file of the own certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file of the own private key.
    pub(crate) key: PathBuf,
}

impl Identity {
    /// `ca.crt`, `NAME.crt` and `NAME.key` in a folder, as `lethe dev` lays them out.
    pub(crate) fn in_folder(pki: &Path, name: &str) -> Self {
        Self {
            authority: pki.join("ca.crt"),
            certificate: pki.join(format!("{name}.crt")),
            key: pki.join(format!("{name}.key")),
        }
    }

    /// The trusted roots.
    pub(crate) fn roots(&self) -> Result<RootCertStore, BenchError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority)? {
            roots.add(certificate).map_err(BenchError::tls)?;
        }
        Ok(roots)
    }

    /// The own chain.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, BenchError> {
        certificates(&self.certificate)
    }

    /// The own key.
    pub(crate) fn private_key(&self) -> Result<PrivateKeyDer<'static>, BenchError> {
        PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| BenchError::Tls(format!("{}: {error}", self.key.display())))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BenchError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| BenchError::Tls(format!("{}: {error}", path.display())))
}

/// A server and what a client needs to speak to it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The address on which the server listens.
    pub(crate) address: SocketAddr,
    /// The name in its certificate.
    pub(crate) name: ServerName<'static>,
    /// TLS 1.3 with the client's certificate, no resumption.
    pub(crate) tls: Arc<ClientConfig>,
    /// Connections come from this address; none: from the one that the system chooses.
    pub(crate) source: Option<IpAddr>,
}

impl Endpoint {
    /// Prepares a client; connects nothing yet.
    pub(crate) fn new(address: SocketAddr, client: &Identity) -> Result<Self, BenchError> {
        let provider = provider(KeyExchange::HybridPreferred);
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(BenchError::tls)?
            .with_root_certificates(client.roots()?)
            .with_client_auth_cert(client.chain()?, client.private_key()?)
            .map_err(BenchError::tls)?;
        tls.resumption = rustls::client::Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            address,
            name: ServerName::IpAddress(address.ip().into()),
            tls: Arc::new(tls),
            source: None,
        })
    }

    /// The same client, from this address of ours.
    pub(crate) fn from(&self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self.clone()
        }
    }

    /// The same client with HTTP/2.
    pub(crate) fn with_http2(&self) -> Self {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            tls: Arc::new(tls),
            ..self.clone()
        }
    }
}
