use std::path::Path;
use std::time::Duration;

use lethe_core::time::Timestamp;
use rcgen::KeyPair;

use super::parties::{intermediate, now, pki, try_tls};

/// A server's certificate that an intermediate CA issued, and what is sent behind it.
fn serve_chain(folder: &Path, middle: &rcgen::Certificate, behind: &[&str]) {
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    let signer = KeyPair::from_pem(&read("middle.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&middle.pem(), signer).unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = KeyPair::from_pem(&read("server.key")).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let chain = [&[certificate.as_str()], behind].concat().concat();
    std::fs::write(folder.join("server.crt"), chain).unwrap();
}

#[test]
fn what_is_sent_behind_the_servers_certificate_is_judged_as_well() {
    let (folder, _) = pki();
    let folder = folder.path();
    let good = try_tls(folder, "").unwrap();
    let root = std::fs::read_to_string(folder.join("ca.crt")).unwrap();
    // The key of the last one is in the folder.
    let other = intermediate(folder, |_| {}).pem();
    let nobody = |it: &mut rcgen::CertificateParams| it.is_ca = rcgen::IsCa::ExplicitNoCa;
    let no_ca = intermediate(folder, nobody).pem();
    let middle = intermediate(folder, |_| {});
    let own = middle.pem();
    // Clients find their way through any order, and past what is of no use.
    let taken: [&[&str]; 5] = [
        &[],
        &[&own],
        &[&own, &root],
        &[&root, &own],
        &[&other, &own],
    ];
    for whole in taken {
        serve_chain(folder, &middle, whole);
        try_tls(folder, "").unwrap();
    }
    let refused: [(&[&str], &str); 2] = [(&[&other], "another key"), (&[&no_ca], "of no CA")];
    for (behind, expected) in refused {
        serve_chain(folder, &middle, behind);
        let error = try_tls(folder, "").unwrap_err().to_string();
        assert!(error.contains("server.crt: "), "{error}");
        assert!(error.contains(expected), "{expected}: {error}");
    }

    let seconds = i64::try_from(now().as_millis() / 1_000).unwrap() - 60;
    let past = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let ended = intermediate(folder, |it| it.not_after = past);
    serve_chain(folder, &ended, &[&ended.pem()]);
    let ended = try_tls(folder, "").unwrap();
    assert_eq!(
        ended.certificate_end().as_millis(),
        seconds.unsigned_abs() * 1_000
    );
    let error = ended.may_replace(&good, now()).unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

/// A server's certificate with other contents than usual, in the place of the usual one.
fn serve_with(folder: &Path, change: impl FnOnce(&mut rcgen::CertificateParams)) {
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    let signer = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), signer).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let key = KeyPair::from_pem(&read("server.key")).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
}

#[test]
fn a_certificate_that_is_for_no_server_is_refused() {
    let (folder, _) = pki();
    let folder = folder.path();
    let refusal = |change: fn(&mut rcgen::CertificateParams)| {
        serve_with(folder, change);
        try_tls(folder, "").unwrap_err().to_string()
    };
    serve_with(folder, |_| {});
    try_tls(folder, "").unwrap();
    serve_with(folder, |it| it.extended_key_usages.clear());
    try_tls(folder, "").unwrap();
    let client = |it: &mut rcgen::CertificateParams| {
        it.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    assert!(refusal(client).contains("for no server"));
    let nameless = |it: &mut rcgen::CertificateParams| it.subject_alt_names.clear();
    assert!(refusal(nameless).contains("names no host"));
    let spiffe = |it: &mut rcgen::CertificateParams| {
        let uri = "spiffe://lethe.dev/server".try_into().unwrap();
        it.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    };
    assert!(refusal(spiffe).contains("names no host"));
    let ca = |it: &mut rcgen::CertificateParams| {
        it.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    assert!(refusal(ca).contains("of a CA"));
    let silent = |it: &mut rcgen::CertificateParams| {
        it.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment];
    };
    assert!(refusal(silent).contains("may not sign a handshake"));
}

#[test]
fn a_certificate_that_has_ended_replaces_none_but_itself() {
    let (folder, authority) = pki();
    let folder = folder.path();
    let good = try_tls(folder, "").unwrap();
    assert_eq!(good.certificate_trouble(now()), None);
    let names = ["localhost".to_owned()];
    let server = folder.join("server");
    let past = Timestamp::from_millis(now().as_millis() - 3_600_000);
    let hour = Duration::from_secs(1_800);
    authority.issue_server(&server, &names, past, hour).unwrap();
    let ended = try_tls(folder, "").unwrap();
    assert!(
        ended
            .certificate_trouble(now())
            .unwrap()
            .contains("expired")
    );
    ended.may_replace(&good, now()).unwrap_err();
    // It ended while it was in force: other changes still come in.
    ended.may_replace(&ended, now()).unwrap();
    good.may_replace(&ended, now()).unwrap();
    let future = Timestamp::from_millis(now().as_millis() + 7_200_000);
    authority
        .issue_server(&server, &names, future, hour)
        .unwrap();
    let early = try_tls(folder, "").unwrap();
    assert!(
        early
            .may_replace(&good, now())
            .unwrap_err()
            .contains("not valid yet")
    );
}
