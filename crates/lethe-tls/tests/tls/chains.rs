//! What a stranger's certificate chain costs, counted in signature checks and in certificates that
//! path building is shown: a count is the same on every machine.

use crate::support::{Made, Verifier, certificate, junk};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls::{CertificateError, Error};

use lethe_tls::{ChainError, MOST_BYTES, MOST_CERTIFICATES};

fn reason(error: Error) -> Result<ChainError, Error> {
    match &error {
        Error::InvalidCertificate(CertificateError::Other(inner)) => {
            let known = inner.0.downcast_ref::<ChainError>();
            known.copied().ok_or(error)
        }
        _ => Err(error),
    }
}

/// Every shape that a stranger may send, without a signature of our CA anywhere.
fn strangers(root: &Made) -> Vec<(&'static str, Vec<Made>)> {
    let ca = |name: &str, issuer: &str| junk(certificate(name, issuer).ca());
    let leaf = |issuer: &str| junk(certificate("leaf", issuer));
    let mut shapes = Vec::new();

    // Six layers of eight namesakes each, and others as filling.
    let mut chain = vec![leaf("L0")];
    for layer in 0..6 {
        let (name, issuer) = (format!("L{layer}"), format!("L{}", layer + 1));
        chain.extend((0..8).map(|_| ca(&name, &issuer)));
    }
    chain.extend((0..240).map(|number| ca(&format!("F{number}"), "x")));
    shapes.push(("layers of namesakes", chain));

    let mut chain = vec![leaf("N")];
    chain.extend((0..6).map(|_| ca("N", root.name())));
    shapes.push(("namesakes within the bounds", chain));

    let chain = vec![leaf("A"), ca("A", "B"), ca("B", "A")];
    shapes.push(("a loop", chain));

    let names = ["D0", "D1", "D2", "D3", "D4", "D5"];
    let issuers = ["D1", "D2", "D3", "D4", "D5", root.name()];
    let mut chain = vec![leaf("D0")];
    chain.extend(
        names
            .iter()
            .zip(issuers)
            .map(|(name, issuer)| ca(name, issuer)),
    );
    shapes.push(("a deep chain below our CA's name", chain));

    let mut chain = vec![leaf("D0")];
    chain.extend(
        names
            .iter()
            .zip(["D1", "D2", "D3", "D4", "D5", "D6"])
            .map(|(n, i)| ca(n, i)),
    );
    shapes.push(("a deep chain to nowhere", chain));

    // All of them namesakes of our CA, told apart by key ids: at each step both may be the issuer.
    let mut above: Option<Made> = None;
    let mut chain = Vec::new();
    for _ in 0..6 {
        let next = match &above {
            None => certificate(root.name(), root.name())
                .ca()
                .with_authority(&[9; 20]),
            Some(above) => certificate(root.name(), root.name())
                .ca()
                .with_authority(&above.key_id()),
        };
        let next = junk(next);
        chain.insert(0, next.clone());
        above = Some(next);
    }
    let own = certificate("leaf", root.name()).with_authority(&above.unwrap().key_id());
    chain.insert(0, junk(own));
    shapes.push(("namesakes of our CA with key ids", chain));

    shapes.push(("our CA's name alone", vec![leaf(root.name())]));
    shapes.push((
        "a large signature",
        vec![crate::support::with_signature(
            certificate("leaf", root.name()),
            2_048,
        )],
    ));
    let names = |count| (0..count).map(|n| format!("n{n}.example")).collect();
    let large = junk(certificate("leaf", root.name()).named(names(1_500)));
    shapes.push(("many names", vec![large]));
    let larger = junk(certificate("leaf", root.name()).named(names(4_000)));
    shapes.push(("more names than there is room for", vec![larger]));
    let constrained = junk(certificate("A", root.name()).ca().constrained(names(1_000)));
    shapes.push(("name constraints", vec![leaf("A"), constrained]));
    let mut chain = vec![leaf(root.name())];
    chain.extend((0..6).map(|_| junk(certificate("big", "x").ca().named(names(600)))));
    shapes.push(("more bytes than are looked at", chain));
    shapes
}

#[test]
fn a_strangers_chain_costs_no_more_than_a_few_checks_whatever_its_shape() {
    let root = Made::root("Our CA");
    let verifier = Verifier::for_roots(&[&root]);
    for (shape, chain) in strangers(&root) {
        let (verified, cost) = verifier.verify(&chain);
        assert!(verified.is_err(), "{shape}");
        assert!(cost.shown < MOST_CERTIFICATES, "{shape}: {cost:?}");
        // At each certificate of the one path our CA's key is tried once.
        assert!(cost.signatures <= MOST_CERTIFICATES, "{shape}: {cost:?}");
    }
}

#[test]
fn what_is_out_of_bounds_or_leads_nowhere_costs_no_check_at_all() {
    let root = Made::root("Our CA");
    let verifier = Verifier::for_roots(&[&root]);
    for (shape, chain) in strangers(&root) {
        let bytes: usize = chain.iter().map(|made| made.der().len()).sum();
        let (verified, cost) = verifier.verify(&chain);
        let expected = match shape {
            "layers of namesakes" => ChainError::TooMany(289),
            "namesakes within the bounds" | "namesakes of our CA with key ids" => {
                ChainError::Ambiguous
            }
            "more names than there is room for" | "more bytes than are looked at" => {
                assert!(bytes > MOST_BYTES, "{shape}");
                ChainError::TooLarge(bytes)
            }
            "a loop" | "a deep chain to nowhere" => {
                let error = verified.unwrap_err();
                assert_eq!(error, CertificateError::UnknownIssuer.into(), "{shape}");
                assert_eq!((cost.shown, cost.signatures), (0, 0), "{shape}");
                continue;
            }
            _ => continue,
        };
        assert_eq!(reason(verified.unwrap_err()), Ok(expected), "{shape}");
        assert_eq!((cost.shown, cost.signatures), (0, 0), "{shape}");
    }
}

#[test]
fn good_chains_are_taken_in_any_order_and_with_more_than_is_needed() {
    let root = Made::root("Our CA");
    let upper = root.issue(certificate("Upper", "").ca());
    let lower = upper.issue(certificate("Lower", "").ca());
    let leaf = lower.issue(certificate("leaf", ""));
    let other = junk(certificate("Lower", "x").ca());
    let verifier = Verifier::for_roots(&[&root]);
    for chain in [
        vec![&leaf, &lower, &upper],
        vec![&leaf, &upper, &lower],
        vec![&leaf, &lower, &upper, &root],
        vec![&leaf, &root, &upper, &lower],
        // The same one twice is one.
        vec![&leaf, &lower, &lower, &upper],
    ] {
        let chain: Vec<_> = chain.into_iter().cloned().collect();
        let (verified, cost) = verifier.verify(&chain);
        verified.unwrap();
        assert_eq!(cost.shown, 2);
    }
    // Key ids tell namesakes apart.
    let chain = [leaf.clone(), other, lower.clone(), upper.clone()];
    verifier.verify(&chain).0.unwrap();
    // An intermediate that is trusted itself ends the path.
    let chain = [leaf.clone(), lower.clone(), upper];
    let (verified, cost) = Verifier::for_roots(&[&lower]).verify(&chain);
    verified.unwrap();
    assert_eq!(cost.shown, 0);
    let (verified, _) = verifier.verify(&[root.issue(certificate("leaf", ""))]);
    verified.unwrap();
}

/// A CA that got a new certificate for its old key, with another key id: what it issued names the
/// old one.
#[test]
fn a_key_id_that_no_ca_bears_is_a_hint_and_no_more() {
    let root = Made::root("Our CA");
    let leaf = root.issue(certificate("leaf", "").with_authority(&[7; 20]));
    let (verified, _) = Verifier::for_roots(&[&root]).verify(&[leaf]);
    verified.unwrap();
}

#[test]
fn who_may_not_sign_certificates_has_signed_none() {
    let root = Made::root("Our CA");
    let verifier = Verifier::for_roots(&[&root]);
    let with = |draft| {
        let between = root.issue(draft);
        let leaf = between.issue(certificate("leaf", ""));
        verifier.verify(&[leaf, between]).0
    };
    with(certificate("CA", "").ca()).unwrap();
    // Without any key usage, basic constraints decide.
    with(certificate("CA", "").ca().usage(&[])).unwrap();
    let usage = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    let error = with(certificate("CA", "").ca().usage(&usage)).unwrap_err();
    assert_eq!(reason(error), Ok(ChainError::MayNotSignCertificates));
    // What webpki looks at by itself: no CA, another purpose, a length of path, what it does not know.
    let mut no_ca = certificate("CA", "").ca();
    no_ca.0.is_ca = IsCa::ExplicitNoCa;
    let mut purpose = certificate("CA", "").ca();
    purpose.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut critical = certificate("CA", "").ca();
    let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    unknown.set_criticality(true);
    critical.0.custom_extensions = vec![unknown];
    for (what, draft) in [
        ("no CA", no_ca),
        ("purpose", purpose),
        ("critical", critical),
    ] {
        assert!(with(draft).is_err(), "{what}");
    }
}

#[test]
fn the_length_of_a_path_counts_from_our_ca_on() {
    let upper_allows = |most| {
        let root = Made::root("Our CA");
        let upper = root.issue(certificate("Upper", "").ca_with_path(most));
        let lower = upper.issue(certificate("Lower", "").ca());
        let leaf = lower.issue(certificate("leaf", ""));
        Verifier::for_roots(&[&root])
            .verify(&[leaf, lower, upper])
            .0
    };
    upper_allows(1).unwrap();
    upper_allows(0).unwrap_err();
    // Of a trust anchor webpki does not look at it.
    let anchor_allows = |most| {
        let root = Made::root_with("Our CA", certificate("", "").ca_with_path(most));
        let between = root.issue(certificate("CA", "").ca());
        let leaf = between.issue(certificate("leaf", ""));
        Verifier::for_roots(&[&root]).verify(&[leaf, between]).0
    };
    anchor_allows(1).unwrap();
    let error = anchor_allows(0).unwrap_err();
    assert_eq!(reason(error), Ok(ChainError::PathTooLong(1, 0)));
}

#[test]
fn a_clients_key_signs_handshakes_and_nothing_else() {
    let root = Made::root("Our CA");
    let verifier = Verifier::for_roots(&[&root]);
    let with = |usage: &[KeyUsagePurpose]| {
        let leaf = root.issue(certificate("leaf", "").usage(usage));
        verifier.verify(&[leaf]).0
    };
    with(&[]).unwrap();
    with(&[KeyUsagePurpose::DigitalSignature]).unwrap();
    with(&[
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyAgreement,
    ])
    .unwrap();
    let error = with(&[KeyUsagePurpose::KeyEncipherment]).unwrap_err();
    assert_eq!(reason(error), Ok(ChainError::MayNotSignHandshakes));
    for other in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let error = with(&[KeyUsagePurpose::DigitalSignature, other]).unwrap_err();
        assert_eq!(reason(error), Ok(ChainError::SignsForOthers));
    }
}
