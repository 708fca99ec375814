//! A throwaway PKI for the control server and the peers, laid out as `lethe dev` does.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::BenchError;

/// The client's file name, as in a development folder.
pub(crate) const CLIENT: &str = "message-server";
/// The server's file name.
pub(crate) const SERVER: &str = "server";

/// Writes `ca.crt` and both sides' certificates (ECDSA P-256) into `folder`, unless they are there.
pub(crate) fn ensure(folder: &Path) -> Result<(), BenchError> {
    if folder.join("ca.crt").exists() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(BenchError::io(folder.display().to_string()))?;
    let key = KeyPair::generate().map_err(BenchError::tls)?;
    let mut params = CertificateParams::default();
    // A name of its own: OpenSSL takes a leaf with its issuer's name for self-signed.
    params
        .distinguished_name
        .push(DnType::CommonName, "lethe-bench CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).map_err(BenchError::tls)?;
    let issuer = Issuer::new(params, key);
    leaf(folder, SERVER, &issuer, ExtendedKeyUsagePurpose::ServerAuth)?;
    leaf(folder, CLIENT, &issuer, ExtendedKeyUsagePurpose::ClientAuth)?;
    // Last: its presence says that all are there.
    write(folder, "ca.crt", &certificate.pem())
}

fn leaf(
    folder: &Path,
    name: &str,
    issuer: &Issuer<'_, KeyPair>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(), BenchError> {
    let key = KeyPair::generate().map_err(BenchError::tls)?;
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut params = CertificateParams::new(names).map_err(BenchError::tls)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, issuer).map_err(BenchError::tls)?;
    write(folder, &format!("{name}.crt"), &certificate.pem())?;
    write(folder, &format!("{name}.key"), &key.serialize_pem())
}

fn write(folder: &Path, name: &str, content: &str) -> Result<(), BenchError> {
    let path = folder.join(name);
    fs::write(&path, content).map_err(BenchError::io(path.display().to_string()))
}
