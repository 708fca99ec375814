use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;

use super::*;
use crate::identity::tls::Peer;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const FILES: [&str; 6] = [
    "ca.crt",
    "ca.key",
    "server.crt",
    "server.key",
    "operator.crt",
    "operator.key",
];

fn later(days: u64) -> Timestamp {
    NOW.saturating_add(days * 86_400_000)
}

fn ensure(folder: &Path, names: &[&str], now: Timestamp) {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    ensure_development(folder, &names, &[("operator", id())], now).unwrap();
}

fn id() -> SpiffeId {
    "spiffe://lethe.dev/operator".parse().unwrap()
}

fn contents(folder: &Path) -> BTreeMap<&'static str, String> {
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    FILES.iter().map(|&name| (name, read(name))).collect()
}

fn changed(before: &BTreeMap<&'static str, String>, folder: &Path) -> Vec<&'static str> {
    let after = contents(folder);
    let differs = |name: &&str| before[*name] != after[*name];
    FILES.into_iter().filter(differs).collect()
}

/// rustls, which knows nothing of our checks, accepts every certificate and key at `now`.
fn assert_whole(folder: &Path, now: Timestamp) {
    let time = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder, "ca")).unwrap();
    let roots = Arc::new(roots);
    for name in ["ca", "server", "operator"] {
        let key = PrivateKeyDer::from_pem_file(folder.join(name).with_extension("key")).unwrap();
        CertifiedKey::from_der(vec![certificate(folder, name)], key, &provider).unwrap();
    }
    WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .unwrap()
        .verify_server_cert(
            &certificate(folder, "server"),
            &[],
            &"localhost".try_into().unwrap(),
            &[],
            time,
        )
        .unwrap();
    WebPkiClientVerifier::builder_with_provider(roots, provider)
        .build()
        .unwrap()
        .verify_client_cert(&certificate(folder, "operator"), &[], time)
        .unwrap();
    let peer = Peer::from_certificate(&certificate(folder, "operator"));
    assert_eq!(peer.spiffe_id, Some(id()));
}

fn certificate(folder: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(folder.join(name).with_extension("crt")).unwrap()
}

#[test]
fn keeps_what_is_good_and_renews_a_week_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ensure(folder, &["localhost"], NOW);
    assert_whole(folder, NOW);
    let before = contents(folder);
    ensure(folder, &["localhost"], later(357));
    assert_eq!(changed(&before, folder), [""; 0]);
    ensure(folder, &["localhost"], later(359));
    assert_eq!(changed(&before, folder), FILES[2..]);
    ensure(folder, &["localhost"], later(3_650));
    assert_eq!(changed(&before, folder), FILES);
    assert_whole(folder, later(3_650));
}

#[test]
fn a_new_server_name_or_address_is_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ensure(folder, &["localhost", "::1"], NOW);
    let before = contents(folder);
    ensure(folder, &["::1"], NOW);
    assert_eq!(changed(&before, folder), [""; 0]);
    ensure(folder, &["localhost", "10.0.0.1"], NOW);
    assert_eq!(changed(&before, folder), FILES[2..4]);
}

/// A kill leaves some of a run's files new, in the order of writing, and the others old.
#[test]
fn any_mixture_of_an_old_and_a_new_run_is_made_good() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure(old.path(), &["localhost"], NOW);
    ensure(new.path(), &["localhost"], NOW);
    for mixture in 0_u32..1 << FILES.len() {
        let folder = tempfile::tempdir().unwrap();
        for (bit, name) in FILES.iter().enumerate() {
            let run = if mixture >> bit & 1 == 0 { &old } else { &new };
            std::fs::copy(run.path().join(name), folder.path().join(name)).unwrap();
        }
        ensure(folder.path(), &["localhost"], NOW);
        assert_whole(folder.path(), NOW);
    }
}

#[test]
fn any_missing_or_broken_file_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ensure(folder, &["localhost"], NOW);
    for name in FILES {
        std::fs::remove_file(folder.join(name)).unwrap();
        ensure(folder, &["localhost"], NOW);
        assert_whole(folder, NOW);
        std::fs::write(folder.join(name), "-----BEGIN").unwrap();
        ensure(folder, &["localhost"], NOW);
        assert_whole(folder, NOW);
    }
}
