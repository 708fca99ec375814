//! Nothing in a PEM file is skipped but text.

use lethe_tls::pem::{PemError, certificates, private_key, revocation_lists};
use rcgen::{CertificateParams, KeyPair};

fn made() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn text_around_blocks_is_allowed() {
    let (one, key) = made();
    let (other, _) = made();
    let text = "subject=CN = a\nX509v3 Subject Key Identifier:\n    8A:0B:7C:1D:8A:0B:7C:1D:8A:0B:7C:1D:8A:0B:7C:1D\n";
    let bundle = format!("# two CAs\n{text}{one}\n\n# the second -- a new one\n{other}  \n");
    assert_eq!(certificates(bundle.as_bytes()).unwrap().len(), 2);
    let windows = bundle.replace('\n', "\r\n");
    assert_eq!(certificates(windows.as_bytes()).unwrap().len(), 2);
    let unended = one.trim_end().to_owned();
    assert_eq!(certificates(unended.as_bytes()).unwrap().len(), 1);
    // One long line, as some tools write.
    let (begin, rest) = one.split_once('\n').unwrap();
    let (body, end) = rest.split_at(rest.find("-----END").unwrap());
    let flat = format!("{begin}\n{}\n{end}", body.replace(['\r', '\n'], ""));
    assert_eq!(certificates(flat.as_bytes()).unwrap().len(), 1);
    let parameters = format!(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{key}"
    );
    private_key(parameters.as_bytes()).unwrap();
}

#[test]
fn what_a_reader_would_skip_makes_the_file_unusable() {
    let (one, key) = made();
    let (two, _) = made();
    let glued = format!("{}{two}", one.trim_end());
    let lines = one.lines().count();
    let refused = |text: &str| certificates(text.as_bytes()).unwrap_err();
    assert_eq!(refused(&glued), PemError::BadBoundary(lines));
    let cut = |text: &str, from: usize, to: usize| {
        text.lines()
            .skip(from)
            .take(to - from)
            .collect::<Vec<_>>()
            .join("\n")
    };
    // Each line left out in turn, beside a good certificate.
    for missing in 0..lines {
        let without = format!(
            "{}\n{}",
            cut(&one, 0, missing),
            cut(&one, missing + 1, lines)
        );
        for text in [format!("{two}{without}"), format!("{without}\n{two}")] {
            assert!(certificates(text.as_bytes()).is_err(), "{missing}: {text}");
        }
    }
    let begin = "-----BEGIN CERTIFICATE-----";
    for damaged in [
        "----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE----",
        "-----BEGIN CERTIFICATE",
        "-----begin certificate-----",
        " -----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE----- x",
        "\u{feff}-----BEGIN CERTIFICATE-----",
        "\u{2013}\u{2013}BEGIN CERTIFICATE\u{2013}\u{2013}",
        "---- BEGIN CERTIFICATE ----",
    ] {
        let text = format!("{two}{}", one.replacen(begin, damaged, 1));
        assert_eq!(
            refused(&text),
            PemError::BadBoundary(two.lines().count() + 1),
            "{damaged}"
        );
    }
    let wrong_end = one.replace("END CERTIFICATE", "END X509 CRL");
    assert_eq!(refused(&wrong_end), PemError::Unended(1));
    let dirty = one.replacen('M', "*", 2);
    assert_eq!(refused(&dirty), PemError::NotBase64(1));
    assert_eq!(refused(""), PemError::Empty("certificate"));
    assert_eq!(
        refused("nothing of the kind"),
        PemError::Empty("certificate")
    );
    assert_eq!(
        certificates(&[0x30, 0x82, 0xff]).unwrap_err(),
        PemError::NotText
    );
    let empty = format!("{begin}\n-----END CERTIFICATE-----\n");
    assert_eq!(refused(&empty), PemError::NotBase64(1));
    // A mac's old line ends make one line of all.
    assert!(certificates(one.replace('\n', "\r").as_bytes()).is_err());
    let with_key = format!("{one}{key}");
    let line = lines + 1;
    let label = "PRIVATE KEY".to_owned();
    assert_eq!(refused(&with_key), PemError::WrongLabel { line, label });
    let trusted = one.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    assert!(matches!(
        refused(&trusted),
        PemError::WrongLabel { line: 1, .. }
    ));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(junk), PemError::NoCertificate(1));
}

#[test]
fn a_key_file_holds_one_key() {
    let (certificate, key) = made();
    private_key(key.as_bytes()).unwrap();
    let refused = |text: &str| private_key(text.as_bytes()).unwrap_err();
    assert_eq!(refused(&format!("{key}{}", made().1)), PemError::ManyKeys);
    assert!(matches!(
        refused(&format!("{key}{certificate}")),
        PemError::WrongLabel { .. }
    ));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(matches!(refused(&encrypted), PemError::WrongLabel { .. }));
    assert_eq!(refused(""), PemError::Empty("private key"));
}

#[test]
fn lists_are_read_the_same_way() {
    let (certificate, _) = made();
    let list = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    assert_eq!(
        revocation_lists(list.repeat(2).as_bytes()).unwrap().len(),
        2
    );
    let glued = list.trim_end().repeat(2);
    assert!(revocation_lists(glued.as_bytes()).is_err());
    assert!(revocation_lists(certificate.as_bytes()).is_err());
    assert_eq!(revocation_lists(&[0x30, 0]).unwrap().len(), 1);
}
