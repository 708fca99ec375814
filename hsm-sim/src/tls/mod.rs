//! Mutual TLS 1.3 between module and daemon, without session resumption: a connection is as good
//! as the certificates shown when it was made.

mod client;
mod limits;
mod server;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lethe_tls::{TrustAnchors, pem};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

pub use client::Server;
pub(crate) use limits::{handshake, tune};
pub(crate) use server::config as server_config;

/// PEM files of one side.
#[derive(Debug, Clone)]
pub struct Files {
    /// Who may have signed the other side's certificate.
    pub ca: PathBuf,
    /// This side's certificate, with what leads to its CA.
    pub certificate: PathBuf,
    /// The private key of the certificate, PEM.
    pub key: PathBuf,
}

impl Files {
    /// The CAs of the other side, as rustls and as paths take them.
    fn authorities(&self) -> io::Result<(RootCertStore, TrustAnchors)> {
        let certificates = certificates(&self.ca)?;
        let anchors = TrustAnchors::new(&certificates).map_err(|error| wrong(&self.ca, &error))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| wrong(&self.ca, &error))?;
        }
        Ok((roots, anchors))
    }

    fn chain(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        certificates(&self.certificate)
    }

    fn private_key(&self) -> io::Result<PrivateKeyDer<'static>> {
        let (pem, mode) = read(&self.key)?;
        if mode & 0o007 != 0 {
            let reason = "every user may read this key: chmod o= it";
            return Err(wrong(&self.key, &reason));
        }
        pem::private_key(&pem).map_err(|error| wrong(&self.key, &error))
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let (pem, _) = read(path)?;
    pem::certificates(&pem).map_err(|error| wrong(path, &error))
}

/// Content and mode of one and the same file.
fn read(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, u32)> {
    let mut file = File::open(path).map_err(|error| wrong(path, &error))?;
    let known = file.metadata().map_err(|error| wrong(path, &error))?;
    // Room for all of it: a vector that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(known.len() as usize + 1));
    file.read_to_end(&mut content)
        .map_err(|error| wrong(path, &error))?;
    Ok((content, known.permissions().mode()))
}

fn wrong(path: &Path, reason: &dyn Display) -> io::Error {
    io::Error::other(format!("{}: {reason}", path.display()))
}
