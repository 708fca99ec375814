use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::Clock;
use lethe_core::time::Timestamp;
use lethe_tls::{KeyExchange, provider};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

use crate::config::{ExpiredCrls, ServerSection};
use crate::identity::SpiffeId;
use crate::identity::tls::{Clients, Tls, TlsError, server_config};
use crate::node::clock::SystemClock;
use crate::pki::Authority;

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// rustls verifies against the machine's clock.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

pub(super) fn id() -> SpiffeId {
    "spiffe://lethe.dev/message-server".parse().unwrap()
}

/// A folder with `ca`, `server` and `client`.
pub(super) fn pki() -> (TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    Authority::create(folder.path(), "Test CA", now(), DAY).unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let names = ["localhost".to_owned()];
    authority
        .issue_server(&folder.path().join("server"), &names, now(), DAY)
        .unwrap();
    authority
        .issue_client(&folder.path().join("client"), &id(), now(), DAY)
        .unwrap();
    (folder, authority)
}

pub(super) fn server(folder: &Path) -> Arc<ServerConfig> {
    server_of(folder, "server.crt", "server.key", "ca.crt").unwrap()
}

/// As the service has it, with these options beside the usual ones.
pub(super) fn tls(folder: &Path, options: &str) -> Tls {
    try_tls(folder, options).unwrap()
}

pub(super) fn try_tls(folder: &Path, options: &str) -> Result<Tls, TlsError> {
    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate, key, ca) = (file("server.crt"), file("server.key"), file("ca.crt"));
    let text = format!(
        "listen = '127.0.0.1:0'\ncertificate = '{certificate}'\nkey = '{key}'\nclient_ca = '{ca}'\n{options}"
    );
    let mut section: ServerSection = toml::from_str(&text).unwrap();
    for list in &mut section.client_crls {
        *list = folder.join(&list);
    }
    Tls::load(&section, now())
}

pub(super) fn server_of(
    folder: &Path,
    certificate: &str,
    key: &str,
    client_ca: &str,
) -> Result<Arc<ServerConfig>, TlsError> {
    let path = |name: &str| folder.join(name);
    let clients = Clients::load(&path(client_ca), &[], ExpiredCrls::Refuse, now())?;
    let key_exchange = KeyExchange::HybridPreferred;
    server_config(&path(certificate), &path(key), clients.into(), key_exchange)
}

/// Chain and key of a client.
pub(super) type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub(super) fn credentials(folder: &Path, name: &str) -> Credentials {
    let certificate = CertificateDer::from_pem_file(folder.join(name).with_extension("crt"));
    let key = PrivateKeyDer::from_pem_file(folder.join(name).with_extension("key"));
    (vec![certificate.unwrap()], key.unwrap())
}

/// A client certificate with just these URI SANs, of the folder's CA.
pub(super) fn with_uris(folder: &Path, uris: &[&str]) -> Credentials {
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    let signer = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), signer).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = uris
        .iter()
        .map(|&uri| rcgen::SanType::URI(uri.try_into().unwrap()))
        .collect();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (vec![certificate.der().clone()], key.into())
}

/// A client that trusts the folder's CA.
pub(super) fn client(
    folder: &Path,
    credentials: Option<Credentials>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let provider = provider(KeyExchange::HybridPreferred);
    client_with(folder, credentials, version, provider)
}

pub(super) fn client_with(
    folder: &Path,
    credentials: Option<Credentials>,
    version: &'static SupportedProtocolVersion,
    provider: Arc<CryptoProvider>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join("ca.crt")).unwrap();
    roots.add(authority).unwrap();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match credentials {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

/// Both ends after the handshake and whatever the server sends after it; the server's error when
/// it refuses.
pub(super) fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let name = "localhost".try_into().unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    // Three flights make a handshake; one more carries tickets, if any.
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((server, client))
}

/// A CA below the folder's, whose key is `middle.key`.
pub(super) fn intermediate(
    folder: &Path,
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> rcgen::Certificate {
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    let signer = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
    let root = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), signer).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Middle");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join("middle.key"), key.serialize_pem()).unwrap();
    params.signed_by(&key, &root).unwrap()
}
