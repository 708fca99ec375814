use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use tempfile::TempDir;

use super::parties::{DAY, credentials, id, now};
use crate::config::ExpiredCrls;
use crate::identity::tls::{Clients, TlsError};
use crate::pki::{Authority, revoke};

const NAME: &str = "Test CA";

/// A CA with a client, and an empty list.
fn authority(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Authority::create(folder.path(), name, now(), DAY).unwrap();
    issue(folder.path(), "client");
    revoke(folder.path(), &[], now(), DAY).unwrap();
    folder
}

fn issue(folder: &Path, name: &str) {
    let authority = Authority::open(folder).unwrap();
    authority
        .issue_client(&folder.join(name), &id(), now(), DAY)
        .unwrap();
}

fn client(folder: &Path, name: &str) -> Vec<CertificateDer<'static>> {
    credentials(folder, name).0
}

/// Of all these CAs, with these lists.
fn clients(authorities: &[&Path], lists: &[PathBuf]) -> Result<Clients, TlsError> {
    let bundle = authorities
        .iter()
        .map(|folder| read(&folder.join("ca.crt")));
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("bundle.crt");
    std::fs::write(&path, bundle.collect::<String>()).unwrap();
    Clients::load(&path, lists, ExpiredCrls::Refuse, now())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn list(folder: &TempDir) -> PathBuf {
    folder.path().join("ca.crl")
}

fn refuses(clients: &Clients, folder: &Path, name: &str) -> CertificateError {
    match clients.verify(&client(folder, name), now()) {
        Err(Error::InvalidCertificate(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_list_names_is_refused_and_nothing_else() {
    let folder = authority(NAME);
    let path = folder.path();
    issue(path, "stolen");
    let before = clients(&[path], &[list(&folder)]).unwrap();
    before.verify(&client(path, "stolen"), now()).unwrap();
    revoke(path, &[path.join("stolen.crt")], now(), DAY).unwrap();
    let after = clients(&[path], &[list(&folder)]).unwrap();
    assert_eq!(refuses(&after, path, "stolen"), CertificateError::Revoked);
    after.verify(&client(path, "client"), now()).unwrap();
    assert!(before != after);
    assert!(after == clients(&[path], &[list(&folder)]).unwrap());
    // Named twice, and the list issued anew: still there.
    issue(path, "another");
    revoke(
        path,
        &[path.join("another.crt"), path.join("stolen.crt")],
        now(),
        DAY,
    )
    .unwrap();
    revoke(path, &[], now(), DAY).unwrap();
    let later = clients(&[path], &[list(&folder)]).unwrap();
    for name in ["stolen", "another"] {
        assert_eq!(refuses(&later, path, name), CertificateError::Revoked);
    }
}

#[test]
fn the_newest_of_several_lists_of_a_ca_counts() {
    let folder = authority(NAME);
    let path = folder.path();
    let old = path.join("old.crl");
    let earlier = lethe_core::time::Timestamp::from_millis(now().as_millis() - 60_000);
    revoke(path, &[], earlier, DAY).unwrap();
    std::fs::copy(list(&folder), &old).unwrap();
    revoke(path, &[path.join("client.crt")], now(), DAY).unwrap();
    for lists in [[old.clone(), list(&folder)], [list(&folder), old]] {
        let clients = clients(&[path], &lists).unwrap();
        assert_eq!(refuses(&clients, path, "client"), CertificateError::Revoked);
    }
}

/// A renewed CA often bears its old name: then a list must count for the key that signed it.
#[test]
fn cas_of_one_name_have_lists_of_their_own() {
    let (old, new) = (authority(NAME), authority(NAME));
    revoke(old.path(), &[old.path().join("client.crt")], now(), DAY).unwrap();
    issue(old.path(), "good");
    let lists = [list(&old), list(&new)];
    for authorities in [[old.path(), new.path()], [new.path(), old.path()]] {
        let clients = clients(&authorities, &lists).unwrap();
        assert_eq!(
            refuses(&clients, old.path(), "client"),
            CertificateError::Revoked
        );
        clients.verify(&client(old.path(), "good"), now()).unwrap();
        clients
            .verify(&client(new.path(), "client"), now())
            .unwrap();
    }
}

#[test]
fn a_ca_without_a_list_would_lock_its_clients_out_and_is_refused() {
    let (one, other) = (authority("One"), authority("Other"));
    let namesake = authority("One");
    for lists in [vec![list(&one)], vec![list(&one), list(&namesake)]] {
        let error = clients(&[one.path(), other.path()], &lists).unwrap_err();
        assert!(
            error.to_string().contains("no list of 'CN=Other'"),
            "{error}"
        );
    }
    let error = clients(&[one.path()], &[list(&namesake)]).unwrap_err();
    assert!(error.to_string().contains("no list of 'CN=One'"), "{error}");
    clients(&[one.path()], &[list(&one), list(&other)]).unwrap();
    clients(&[one.path(), other.path()], &[]).unwrap();
}

#[test]
fn pem_many_to_a_file_or_der_and_nothing_else() {
    let (one, other) = (authority("One"), authority("Other"));
    let file = one.path().join("lists");
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        clients(&[one.path(), other.path()], std::slice::from_ref(&file))
    };
    let both = read(&list(&one)) + &read(&list(&other));
    load(both.as_bytes()).unwrap();
    let pem = x509_parser::pem::parse_x509_pem(both.as_bytes()).unwrap().1;
    let error = load(&pem.contents).unwrap_err();
    assert!(
        error.to_string().contains("no list of 'CN=Other'"),
        "{error}"
    );
    let certificate = read(&one.path().join("ca.crt"));
    for bad in [
        &b""[..],
        b"x",
        b"\x30\x03\x01",
        certificate.as_bytes(),
        &pem.contents[..99],
    ] {
        let error = load(bad).unwrap_err();
        assert!(error.to_string().contains("lists: "), "{error}");
    }
    let mut longer = pem.contents.clone();
    longer.push(0);
    assert!(load(&longer).is_err());
}

#[test]
fn an_expired_list_is_refused_or_accepted_as_configured() {
    let folder = authority(NAME);
    let path = folder.path();
    let past = lethe_core::time::Timestamp::from_millis(now().as_millis() - 10_000);
    revoke(
        path,
        &[path.join("client.crt")],
        past,
        Duration::from_secs(5),
    )
    .unwrap();
    issue(path, "other");
    let load = |policy| Clients::load(&path.join("ca.crt"), &[list(&folder)], policy, now());
    let error = load(ExpiredCrls::Refuse).unwrap_err();
    assert!(error.to_string().contains("ca.crl: has expired"), "{error}");
    let clients = load(ExpiredCrls::Accept).unwrap();
    clients.verify(&client(path, "other"), now()).unwrap();
    assert_eq!(refuses(&clients, path, "client"), CertificateError::Revoked);
    // One that expires while it is in force.
    revoke(path, &[], now(), Duration::from_secs(5)).unwrap();
    let later = now().saturating_add(6_000);
    load(ExpiredCrls::Accept)
        .unwrap()
        .verify(&client(path, "other"), later)
        .unwrap();
    let clients = load(ExpiredCrls::Refuse).unwrap();
    clients.verify(&client(path, "other"), now()).unwrap();
    assert!(clients.verify(&client(path, "other"), later).is_err());
}

#[test]
fn a_list_that_the_handshake_cannot_use_is_named() {
    let folder = authority(NAME);
    let pem = read(&list(&folder));
    let pem = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1;
    let odd = folder.path().join("odd.crl");
    // An extension's identifier, 2.5.29.n, made that of a delta list: authority key and CRL number.
    for (extension, reason) in [(35, "could not be parsed"), (20, "without a CRL number")] {
        let mut der = pem.contents.clone();
        let identifier = [0x06, 0x03, 0x55, 0x1d, extension];
        let at = der.windows(5).position(|it| it == identifier).unwrap();
        der[at + 4] = 27;
        std::fs::write(&odd, der).unwrap();
        let error = clients(&[folder.path()], std::slice::from_ref(&odd)).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("odd.crl: ") && error.contains(reason),
            "{error}"
        );
    }
}
