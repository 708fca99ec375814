use rcgen::{PublicKeyData, SignatureAlgorithm};
use rustls::version::TLS13;

use super::parties::{
    Credentials, client, credentials, handshake, id, now, pki, server, with_uris,
};
use crate::identity::tls::Peer;

/// Who the server sees.
fn peer(folder: &std::path::Path, credentials: Credentials) -> Peer {
    let client = client(folder, Some(credentials), &TLS13);
    let (server, _) = handshake(&server(folder), &client).unwrap();
    Peer::from_certificate(&server.peer_certificates().unwrap()[0])
}

#[test]
fn the_one_uri_is_who_it_is_until_the_certificate_ends() {
    let (folder, _) = pki();
    let peer = peer(folder.path(), credentials(folder.path(), "client"));
    assert_eq!(peer.spiffe_id, Some(id()));
    let left = peer.not_after.as_millis() - now().as_millis();
    assert!((86_000_000..=86_400_000).contains(&left), "{left}");
}

#[test]
fn none_two_or_another_uri_are_nobody() {
    let (folder, _) = pki();
    let folder = folder.path();
    let known = "spiffe://lethe.dev/message-server";
    for uris in [
        &[][..],
        &[known, "spiffe://lethe.dev/operator"],
        &[known, "https://lethe.dev/"],
        &["https://lethe.dev/message-server"],
        &["spiffe://lethe.dev/"],
    ] {
        let peer = peer(folder, with_uris(folder, uris));
        assert_eq!(peer.spiffe_id, None, "{uris:?}");
    }
    assert_eq!(
        peer(folder, with_uris(folder, &[known])).spiffe_id,
        Some(id())
    );
}

#[test]
fn what_is_no_certificate_is_nobody_and_over() {
    let peer = Peer::from_certificate(&vec![0x30, 0x03, 1, 2, 3].into());
    assert_eq!(peer.spiffe_id, None);
    assert!(peer.not_after < now());
}

/// A P-256 key whose certificate has its point compressed.
struct Compressed(Vec<u8>);

impl PublicKeyData for Compressed {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[test]
fn a_key_is_one_key_however_its_certificate_spells_it() {
    let (folder, _) = pki();
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let signer = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), signer).unwrap();
    let uri = "spiffe://lethe.dev/operator-two".try_into().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    let key = rcgen::KeyPair::generate().unwrap();
    let point = key.der_bytes();
    let (x, sign) = (&point[1..33], 2 + (point[64] & 1));
    let compressed = Compressed([&[sign], x].concat());
    let whole = params.clone().signed_by(&key, &issuer).unwrap();
    let spelled = params.signed_by(&compressed, &issuer).unwrap();
    let (whole, spelled) = (
        Peer::from_certificate(whole.der()),
        Peer::from_certificate(spelled.der()),
    );
    assert_eq!(whole.key, spelled.key);
    assert!(spelled.spiffe_id.is_some() && spelled.spiffe_id == whole.spiffe_id);
    let other = peer(folder.path(), credentials(folder.path(), "client"));
    assert_ne!(other.key, whole.key);
}
