use rustls::CertificateError::{self, ExpiredContext, InvalidPurposeContext, UnknownIssuer};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, HandshakeKind, PeerIncompatible, ProtocolVersion};

use super::parties::{Credentials, DAY, client, credentials, handshake, id, now, pki, server};
use crate::pki::Authority;

/// What the server says to a client with these credentials.
fn refusal(folder: &std::path::Path, credentials: Option<Credentials>) -> Error {
    let client = client(folder, credentials, &TLS13);
    handshake(&server(folder), &client).err().unwrap()
}

#[test]
fn a_client_of_our_ca_gets_through_by_tls_13() {
    let (folder, _) = pki();
    let folder = folder.path();
    let client = client(folder, Some(credentials(folder, "client")), &TLS13);
    let (server, client) = handshake(&server(folder), &client).unwrap();
    assert!(!server.is_handshaking() && !client.is_handshaking());
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn no_certificate_is_refused() {
    let (folder, _) = pki();
    let error = refusal(folder.path(), None);
    assert_eq!(error, Error::NoCertificatesPresented);
}

#[test]
fn an_expired_certificate_is_refused() {
    let (folder, authority) = pki();
    let folder = folder.path();
    let past = lethe_core::time::Timestamp::from_millis(now().as_millis() - 86_400_000);
    authority
        .issue_client(&folder.join("old"), &id(), past, DAY / 2)
        .unwrap();
    let error = refusal(folder, Some(credentials(folder, "old")));
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::Expired | ExpiredContext { .. })
        ),
        "{error}"
    );
}

#[test]
fn a_certificate_of_another_ca_of_the_same_name_is_refused() {
    let (folder, _) = pki();
    let other = tempfile::tempdir().unwrap();
    Authority::create(other.path(), "Test CA", now(), DAY).unwrap();
    Authority::open(other.path())
        .unwrap()
        .issue_client(&other.path().join("client"), &id(), now(), DAY)
        .unwrap();
    let error = refusal(folder.path(), Some(credentials(other.path(), "client")));
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(UnknownIssuer | CertificateError::BadSignature)
        ),
        "{error}"
    );
}

#[test]
fn a_server_certificate_is_no_client_certificate() {
    let (folder, _) = pki();
    let folder = folder.path();
    let error = refusal(folder, Some(credentials(folder, "server")));
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | InvalidPurposeContext { .. }
            )
        ),
        "{error}"
    );
}

#[test]
fn tls_12_is_refused() {
    let (folder, _) = pki();
    let folder = folder.path();
    let client = client(folder, Some(credentials(folder, "client")), &TLS12);
    let error = handshake(&server(folder), &client).err().unwrap();
    let expected = PeerIncompatible::Tls12NotOfferedOrEnabled;
    assert_eq!(error, Error::PeerIncompatible(expected));
}

#[test]
fn nothing_to_resume_with_is_offered() {
    let (folder, _) = pki();
    let folder = folder.path();
    let server = server(folder);
    // One configuration for both: it is what keeps a client's tickets.
    let client = client(folder, Some(credentials(folder, "client")), &TLS13);
    for _ in 0..2 {
        let (server, client) = handshake(&server, &client).unwrap();
        assert_eq!(client.tls13_tickets_received(), 0);
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
    }
}
