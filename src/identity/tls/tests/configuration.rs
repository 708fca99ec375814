use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::parties::{pki, server, server_of};

fn refusal(folder: &Path, certificate: &str, key: &str, client_ca: &str) -> String {
    server_of(folder, certificate, key, client_ca)
        .unwrap_err()
        .to_string()
}

#[test]
fn http_2_comes_before_http_1() {
    let (folder, _) = pki();
    let config = server(folder.path());
    assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    assert_eq!(config.max_early_data_size, 0);
}

#[test]
fn a_key_that_everybody_may_read_is_refused() {
    let (folder, _) = pki();
    let folder = folder.path();
    let key = folder.join("server.key");
    set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = refusal(folder, "server.crt", "server.key", "ca.crt");
    assert!(error.contains("server.key: every user may read"), "{error}");
    set_permissions(&key, Permissions::from_mode(0o440)).unwrap();
    server(folder);
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let (folder, _) = pki();
    let error = refusal(folder.path(), "server.crt", "client.key", "ca.crt");
    assert!(error.contains("KeyMismatch"), "{error}");
}

#[test]
fn errors_name_the_file() {
    let (folder, _) = pki();
    let folder = folder.path();
    write(folder.join("empty"), "").unwrap();
    set_permissions(folder.join("empty"), Permissions::from_mode(0o600)).unwrap();
    for (certificate, key, client_ca, named) in [
        ("none", "server.key", "ca.crt", "none: "),
        ("empty", "server.key", "ca.crt", "empty: "),
        ("server.crt", "none", "ca.crt", "none: "),
        ("server.crt", "empty", "ca.crt", "empty: "),
        ("server.crt", "server.key", "none", "none: "),
        ("server.crt", "server.key", "empty", "empty: "),
    ] {
        let error = refusal(folder, certificate, key, client_ca);
        assert!(error.contains(named), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
