//! Throwaway certificates in a folder of their own.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use tempfile::TempDir;

/// Whose certificate.
#[derive(Clone, Copy)]
pub enum Who {
    /// Signed by the CA that the service trusts.
    Known,
    /// Signed by another.
    Stranger,
}

pub struct Pki {
    dir: TempDir,
    ca: (CertificateParams, KeyPair),
}

impl Pki {
    pub fn new() -> Self {
        let pki = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: authority(),
        };
        let ca = pki.ca.0.self_signed(&pki.ca.1).unwrap();
        std::fs::write(pki.ca(), ca.pem()).unwrap();
        pki.issue(&pki.ca, Who::Known);
        pki.issue(&authority(), Who::Stranger);
        pki
    }

    fn issue(&self, ca: &(CertificateParams, KeyPair), who: Who) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["client".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::from_params(&ca.0, &ca.1))
            .unwrap();
        std::fs::write(self.certificate(who), certificate.pem()).unwrap();
        std::fs::write(self.key(who), key.serialize_pem()).unwrap();
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    pub fn certificate(&self, who: Who) -> PathBuf {
        self.dir.path().join(format!("{}.crt", name(who)))
    }

    pub fn key(&self, who: Who) -> PathBuf {
        self.dir.path().join(format!("{}.key", name(who)))
    }

    /// A server that wants certificates of this CA.
    pub fn server(&self) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::from_params(&self.ca.0, &self.ca.1))
            .unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let ca = self.ca.0.self_signed(&self.ca.1).unwrap();
        roots.add(ca.der().clone()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap()
    }
}

fn authority() -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, KeyPair::generate().unwrap())
}

const fn name(who: Who) -> &'static str {
    match who {
        Who::Known => "known",
        Who::Stranger => "stranger",
    }
}
