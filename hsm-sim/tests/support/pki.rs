//! Throwaway certificates in a folder of their own: `daemon` for 127.0.0.1, `client`, and
//! `stranger`, which another CA signed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hsm_sim::tls::Files;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

pub(crate) struct Pki(tempfile::TempDir);

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self(tempfile::tempdir().unwrap());
        let (known, other) = (authority(), authority());
        pki.write("ca.crt", &known.0.self_signed(&known.1).unwrap().pem());
        pki.write("other.crt", &other.0.self_signed(&other.1).unwrap().pem());
        pki.issue(&known, "daemon");
        pki.issue(&known, "client");
        pki.issue(&other, "stranger");
        pki
    }

    /// What `who` needs to meet those that the first CA signed.
    pub(crate) fn files(&self, who: &str) -> Files {
        Files {
            ca: self.path("ca.crt"),
            certificate: self.path(&format!("{who}.crt")),
            key: self.path(&format!("{who}.key")),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn issue(&self, ca: &(CertificateParams, KeyPair), who: &str) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), who.to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &Issuer::from_params(&ca.0, &ca.1))
            .unwrap();
        self.write(&format!("{who}.crt"), &certificate.pem());
        self.write(&format!("{who}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        set_mode(&self.path(name), 0o600);
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn authority() -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    (params, KeyPair::generate().unwrap())
}
