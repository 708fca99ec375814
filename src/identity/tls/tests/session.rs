use std::path::Path;
use std::sync::Arc;

use lethe_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;

use super::parties::{DAY, credentials, id, now, pki, tls};
use crate::config::AccessSection;
use crate::identity::tls::{Nobody, Peer, Session};
use crate::identity::{Access, Gate};
use crate::pki::revoke;

const LISTS: &str = r#"client_crls = ["ca.crl"]"#;

fn access() -> Access {
    Access::new(&AccessSection { client: Vec::new() })
}

fn session(folder: &Path, gate: &Gate) -> Session {
    let chain = credentials(folder, "client").0;
    Session::new(chain, gate.rules().trust(), now()).unwrap()
}

#[test]
fn a_revocation_counts_from_the_next_look_on() {
    let (folder, authority) = pki();
    let folder = folder.path();
    let gate = Gate::new(access(), tls(folder, ""));
    authority
        .issue_client(&folder.join("other"), &id(), now(), DAY)
        .unwrap();
    let session = session(folder, &gate);
    let mut changes = gate.trust_changes();
    session.client(&gate.rules(), now()).unwrap();

    // Other grants are no reason to look at certificates again.
    gate.replace(access(), tls(folder, ""));
    assert!(!changes.has_changed().unwrap());
    session.client(&gate.rules(), now()).unwrap();

    revoke(folder, &[folder.join("other.crt")], now(), DAY).unwrap();
    gate.replace(access(), tls(folder, LISTS));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    session.client(&gate.rules(), now()).unwrap();

    let before = gate.rules();
    revoke(folder, &[folder.join("client.crt")], now(), DAY).unwrap();
    gate.replace(access(), tls(folder, LISTS));
    assert!(changes.has_changed().unwrap());
    for _ in 0..2 {
        assert!(session.client(&gate.rules(), now()).is_err());
    }
    // Who still holds the rules from before changes nothing for the others.
    session.client(&before, now()).unwrap();
    assert!(session.client(&gate.rules(), now()).is_err());
}

#[test]
fn the_end_of_a_certificate_counts_without_any_change() {
    let (folder, _) = pki();
    let gate = Gate::new(access(), tls(folder.path(), ""));
    let session = session(folder.path(), &gate);
    let certificate = &credentials(folder.path(), "client").0[0];
    let end = Peer::from_certificate(certificate).not_after.as_millis();
    session
        .client(&gate.rules(), Timestamp::from_millis(end - 1))
        .unwrap();
    for at in [end, end + 1, u64::MAX] {
        let at = Timestamp::from_millis(at);
        assert!(session.client(&gate.rules(), at).is_err());
    }
}

/// A chain of a client, an intermediate CA that ends at `end`, and the root's certificate.
fn chain(end: Timestamp) -> (Vec<CertificateDer<'static>>, String) {
    let ca = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (root, root_key) = ca();
    let root_certificate = root.self_signed(&root_key).unwrap();
    let (mut middle, middle_key) = ca();
    middle.distinguished_name.push(DnType::CommonName, "Middle");
    let seconds = i64::try_from(end.as_millis() / 1_000).unwrap();
    middle.not_after = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let root = Issuer::new(root, root_key);
    let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
    let middle = Issuer::new(middle, middle_key);
    let mut own = CertificateParams::default();
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = own
        .signed_by(&KeyPair::generate().unwrap(), &middle)
        .unwrap();
    let chain = vec![own.der().clone(), middle_certificate.der().clone()];
    (chain, root_certificate.pem())
}

#[test]
fn the_end_of_an_intermediate_ca_counts() {
    let (folder, _) = pki();
    let folder = folder.path();
    let end = Timestamp::from_millis(now().as_millis() / 1_000 * 1_000 + 3_600_000);
    let (chain, root) = chain(end);
    std::fs::write(folder.join("ca.crt"), root).unwrap();
    let gate = Gate::new(access(), tls(folder, ""));
    let session = Session::new(chain, gate.rules().trust(), now()).unwrap();
    // The certificate names nobody, which is said of one that is taken.
    let taken = |at| matches!(session.client(&gate.rules(), at), Err(Nobody::NoId));
    assert!(taken(now()));
    // Its last second is one of its own.
    assert!(taken(end.saturating_add(999)));
    for later in [1_000, 2_000] {
        assert!(!taken(end.saturating_add(later)));
    }
}

/// As when a revocation comes while thousands are connected.
#[test]
fn open_connections_are_decided_on_before_a_change_is_in_force() {
    let (folder, authority) = pki();
    let folder = folder.path();
    authority
        .issue_client(&folder.join("other"), &id(), now(), DAY)
        .unwrap();
    let gate = Gate::new(access(), tls(folder, ""));
    let open = |name: &str| {
        let chain = credentials(folder, name).0;
        let session = Arc::new(Session::new(chain, gate.rules().trust(), now()).unwrap());
        gate.add(&session);
        session
    };
    let (good, revoked) = (open("client"), open("other"));
    let trust = gate.rules().trust();
    revoke(folder, &[folder.join("other.crt")], now(), DAY).unwrap();
    gate.replace(access(), tls(folder, LISTS));
    let in_force = gate.rules().trust();
    assert_ne!(trust, in_force);
    // Without looking at a certificate again.
    assert_eq!(good.decided(in_force, now()), Some(Ok(())));
    let reason = CertificateError::Revoked;
    assert_eq!(revoked.decided(in_force, now()), Some(Err(reason.into())));
    // A list that ends is a change as well.
    gate.recheck();
    let in_force = gate.rules().trust();
    assert_eq!(good.decided(in_force, now()), Some(Ok(())));
    assert!(revoked.client(&gate.rules(), now()).is_err());
}
