use rustls::version::TLS13;

use super::parties::{
    Credentials, client, credentials, handshake, id, now, pki, server, with_uris,
};
use crate::tls::Peer;

/// Who the server sees.
fn peer(folder: &std::path::Path, credentials: Credentials) -> Peer {
    let client = client(folder, Some(credentials), &TLS13);
    let (server, _) = handshake(&server(folder), &client).unwrap();
    Peer::of(&server.peer_certificates().unwrap()[0])
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
    let peer = Peer::of(&vec![0x30, 0x03, 1, 2, 3].into());
    assert_eq!(peer.spiffe_id, None);
    assert!(peer.not_after < now());
}
