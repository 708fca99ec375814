use std::path::{Path, PathBuf};

use lethe_core::time::Timestamp;
use rcgen::{KeyPair, SigningKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::parties::{DAY, intermediate, now, pki, try_tls};
use crate::identity::tls::ListMarks;
use crate::pki::revoke;

const ECDSA_WITH_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_WITH_SHA1: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const DELTA: &[u8] = &[2, 5, 29, 27];
const SCOPE: &[u8] = &[2, 5, 29, 28];
const UNKNOWN: &[u8] = &[1, 2, 3, 4];

/// What a list says.
struct List<'a> {
    algorithm: &'a [u8],
    /// Relative to now, in seconds.
    this_update: i64,
    number: Option<&'a [u8]>,
    /// Critical: OID, with two numbers in the first byte, and content.
    extension: Option<(&'a [u8], &'a [u8])>,
}

const GOOD: List<'_> = List {
    algorithm: ECDSA_WITH_SHA256,
    this_update: -60,
    number: Some(&[1]),
    extension: None,
};

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut encoded = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    encoded.extend(content);
    encoded
}

fn oid(numbers: &[u8]) -> Vec<u8> {
    der(6, &[&[numbers[0] * 40 + numbers[1]], &numbers[2..]])
}

fn time(seconds_from_now: i64) -> Vec<u8> {
    let seconds = i64::try_from(now().as_millis() / 1_000).unwrap() + seconds_from_now;
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let (date, clock) = (at.date(), at.time());
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    der(0x18, &[text.as_bytes()])
}

/// A list of the folder's CA, as `ca.crl`.
fn write(folder: &Path, list: &List<'_>) {
    write_of("ca", folder, list);
}

/// A list of a CA whose certificate and key are in the folder.
fn write_of(ca: &str, folder: &Path, list: &List<'_>) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let key = KeyPair::from_pem(&read(&format!("{ca}.key"))).unwrap();
    let certificate = read(&format!("{ca}.crt"));
    let pem = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
        .unwrap()
        .1;
    let (_, authority) = X509Certificate::from_der(&pem.contents).unwrap();
    let number = list.number.map(|number| {
        let value = der(4, &[&der(2, &[number])]);
        der(0x30, &[&oid(&[2, 5, 29, 20]), &value])
    });
    let extension = list
        .extension
        .map(|(id, content)| der(0x30, &[&oid(id), &[1, 1, 0xff], &der(4, &[content])]));
    let extensions = [number.unwrap_or_default(), extension.unwrap_or_default()].concat();
    let extensions = match extensions.is_empty() {
        true => Vec::new(),
        false => der(0xa0, &[&der(0x30, &[&extensions])]),
    };
    let algorithm = der(0x30, &[list.algorithm]);
    let begin = time(list.this_update);
    let signed = der(
        0x30,
        &[
            &[2, 1, 1],
            &algorithm,
            authority.subject().as_raw(),
            &begin,
            &time(86_400),
            &extensions,
        ],
    );
    let signature = key.sign(&signed).unwrap();
    let whole = der(0x30, &[&signed, &algorithm, &der(3, &[&[0], &signature])]);
    std::fs::write(folder.join(format!("{ca}.crl")), whole).unwrap();
}

const LISTS: &str = r#"client_crls = ["ca.crl"]"#;

fn with<'a>(extension: (&'a [u8], &'a [u8])) -> List<'a> {
    List {
        extension: Some(extension),
        ..GOOD
    }
}

#[test]
fn a_list_that_the_handshake_cannot_use_is_refused_with_the_reason() {
    let (folder, _) = pki();
    let folder = folder.path();
    write(folder, &GOOD);
    try_tls(folder, LISTS).unwrap();
    // Scopes: [1] for clients alone, [2] for CAs alone, [4] indirect, [5] attribute certificates.
    let name = der(0xa0, &[&der(0xa0, &[&der(0x86, &[b"http://x"])])]);
    let scope = |tag: u8| der(0x30, &[&name, &[tag, 1, 0xff]]);
    let [for_clients, for_cas, indirect, attributes] = [0x81, 0x82, 0x84, 0x85].map(scope);
    write(folder, &with((SCOPE, &for_clients)));
    try_tls(folder, LISTS).unwrap();
    for (list, expected) in [
        (
            List {
                algorithm: ECDSA_WITH_SHA1,
                ..GOOD
            },
            "algorithm that is not supported (1.2.840.10045.4.1)",
        ),
        (
            List {
                this_update: 3_600,
                ..GOOD
            },
            "not valid yet",
        ),
        (
            List {
                number: None,
                ..GOOD
            },
            "CRL number",
        ),
        (with((DELTA, &[2, 1, 1])), "ca.crl: "),
        (with((UNKNOWN, &[5, 0])), "ca.crl: "),
        (with((SCOPE, &indirect)), "ca.crl: "),
        (with((SCOPE, &attributes)), "ca.crl: "),
        (with((SCOPE, &for_cas)), "no list of 'CN=Test CA'"),
    ] {
        write(folder, &list);
        let error = try_tls(folder, LISTS).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// Which intermediate CAs there are is not known, but what their lists say is.
#[test]
fn a_list_of_an_intermediate_ca_is_judged_as_well() {
    let (folder, _) = pki();
    let folder = folder.path();
    let middle = intermediate(folder, |_| {});
    std::fs::write(folder.join("middle.crt"), middle.pem()).unwrap();
    write(folder, &GOOD);
    let lists = r#"client_crls = ["ca.crl", "middle.crl"]"#;
    write_of("middle", folder, &GOOD);
    try_tls(folder, lists).unwrap();
    let sha1 = List {
        algorithm: ECDSA_WITH_SHA1,
        ..GOOD
    };
    let early = List {
        this_update: 3_600,
        ..GOOD
    };
    for (list, expected) in [(sha1, "not supported"), (early, "not valid yet")] {
        write_of("middle", folder, &list);
        let error = try_tls(folder, lists).unwrap_err().to_string();
        assert!(error.contains("middle.crl: "), "{error}");
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_list_of_a_ca_that_may_not_sign_lists_is_refused() {
    let (folder, _) = pki();
    let folder = folder.path();
    let key = KeyPair::from_pem(&std::fs::read_to_string(folder.join("ca.key")).unwrap()).unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "Test CA");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    std::fs::write(folder.join("ca.crt"), ca.self_signed(&key).unwrap().pem()).unwrap();
    write(folder, &GOOD);
    let error = try_tls(folder, LISTS).unwrap_err().to_string();
    assert!(error.contains("may not sign revocation lists"), "{error}");
}

/// The marks of the list that lies in the folder.
fn marks(folder: &Path) -> ListMarks {
    try_tls(folder, LISTS).unwrap().list_marks()
}

#[test]
fn an_older_list_does_not_follow_a_newer_one() {
    let (folder, _) = pki();
    let folder = folder.path();
    let list = |number, this_update| {
        write(
            folder,
            &List {
                number: Some(number),
                this_update,
                ..GOOD
            },
        );
        marks(folder)
    };
    let mut known = ListMarks::default();
    known.advance(&list(&[9], -60)).unwrap();
    // The same again, a newer one, one whose number is longer.
    for next in [
        list(&[9], -60),
        list(&[10], -50),
        list(&[1, 0], -50),
        list(&[1, 0], -40),
        // The CA's clock was set back.
        list(&[1, 1], -3_600),
        list(&[1, 2], -40),
    ] {
        known.advance(&next).unwrap();
    }
    let before = known.clone();
    for older in [list(&[0x7f], -30), list(&[1, 2], -45), list(&[9], -1)] {
        let error = known.advance(&older).unwrap_err();
        assert!(error.contains("older"), "{error}");
        assert_eq!(known, before);
    }
    // A reading without lists in between takes nothing back.
    known.advance(&ListMarks::default()).unwrap();
    known.advance(&list(&[0x7f], -30)).unwrap_err();
}

#[test]
fn how_far_the_lists_have_come_outlives_a_restart() {
    let (folder, _) = pki();
    let path: PathBuf = folder.path().join("marks.json");
    assert_eq!(ListMarks::load(&path).unwrap(), ListMarks::default());
    revoke(folder.path(), &[], now(), DAY).unwrap();
    let mut known = ListMarks::default();
    known.advance(&marks(folder.path())).unwrap();
    known.save(&path).unwrap();
    assert_eq!(ListMarks::load(&path).unwrap(), known);
    // Lists of our own tools follow each other.
    let later = Timestamp::from_millis(now().as_millis() + 1_000);
    revoke(folder.path(), &[], later, DAY).unwrap();
    known.advance(&marks(folder.path())).unwrap();
    std::fs::write(&path, "{").unwrap();
    let error = ListMarks::load(&path).unwrap_err().to_string();
    assert!(error.contains("marks.json: "), "{error}");
}
