use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::line::{Line, Protocol};
use crate::support::{Dev, Role, pki};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_and_the_old_one_goes_on() {
    let dev = Dev::start();
    let certificate = dev.certificate(Role::MessageServer);
    let mut line = Line::open(&dev, &certificate, Protocol::Http2).await;
    let folder = dev.pki();
    let good = std::fs::read_to_string(dev.dir().join("lethe.toml")).unwrap();
    let configuration = |text: &str| pki::put(&dev.dir().join("lethe.toml"), text.as_bytes());
    // Each of them also withdraws a grant, which must not happen.
    let narrow = good.replace("keyspaces = [\"*\"]", "keyspaces = [\"none\"]");
    let bad = [
        (
            narrow.replace("[store]", "[sotre]"),
            "unknown field `sotre`",
        ),
        (
            narrow.replace("role = \"auditor\"", "role = \"king\""),
            "unknown variant `king`",
        ),
        (narrow.replace("pki/ca.crt", "pki/none.crt"), "none.crt: "),
        (
            narrow.replace("pki/ca.crt", "pki/operator.key"),
            "a block 'PRIVATE KEY' does not belong into this file",
        ),
        (
            narrow.replace("pki/server.key", "pki/operator.key"),
            "KeyMismatch",
        ),
        (
            narrow.replace("lethe.dev/operator", "lethe.dev/auditor"),
            "auditor twice",
        ),
        (Dev::names_crl(&narrow), "ca.crl: "),
        (narrow[..narrow.len() / 2].to_owned(), "line "),
        (String::new(), "missing field"),
    ];
    for (text, reason) in &bad {
        let log = dev.refuses(|| configuration(text)).await;
        let lines = log.lines().filter(|line| line.contains("is refused"));
        assert_eq!(lines.count(), 1, "{log}");
        assert!(log.contains(reason), "{reason}: {log}");
        let (status, ready) = dev.ops("/readyz").await;
        assert!(
            status == 200 && ready.contains("the old one stays"),
            "{ready}"
        );
        assert_eq!(line.issue("chat").await, Some(201), "{reason}");
    }
    Line::open(&dev, &certificate, Protocol::Http1).await;
    dev.reload(|| configuration(&good)).await;
    assert!(!dev.ops("/readyz").await.1.contains("the old one stays"));

    // Files that the configuration names, while it stays as it is.
    let key = folder.join("server.key");
    let saved = std::fs::read(&key).unwrap();
    let log = dev.refuses(|| pki::put(&key, b"no key")).await;
    assert!(log.contains("server.key: "), "{log}");
    dev.reload(|| pki::put(&key, &saved)).await;
    // Glued without a newline, the second of two CAs would be left out.
    let authority = folder.join("ca.crt");
    let one = std::fs::read_to_string(&authority).unwrap();
    let glued = one.trim_end().repeat(2);
    let log = dev.refuses(|| pki::put(&authority, glued.as_bytes())).await;
    assert!(log.contains("ca.crt: line "), "{log}");
    dev.reload(|| pki::put(&authority, one.as_bytes())).await;
    let log = dev
        .refuses(|| set_permissions(&key, Permissions::from_mode(0o644)).unwrap())
        .await;
    assert!(log.contains("every user may read"), "{log}");
    dev.reload(|| set_permissions(&key, Permissions::from_mode(0o600)).unwrap())
        .await;
    let config = dev.dir().join("lethe.toml");
    let mode = |mode| set_permissions(&config, Permissions::from_mode(mode)).unwrap();
    let log = dev.refuses(|| mode(0o666)).await;
    assert!(log.contains("every user may change it"), "{log}");
    dev.reload(|| mode(0o600)).await;
    assert_eq!(line.issue("chat").await, Some(201));
    assert!(line.is_open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapped_links_as_in_a_mounted_volume_are_seen() {
    use std::os::unix::fs::symlink;
    let mut dev = Dev::start();
    dev.stop();
    let (folder, file) = (dev.dir(), dev.dir().join("lethe.toml"));
    // `lethe dev` writes its file anew at each start: so the CA is what is mounted.
    let mounted = folder.join("mounted");
    let other = folder.join("other");
    pki::authority(&other, "Other CA");
    for (version, ca) in [("one", &dev.pki()), ("two", &other)] {
        std::fs::create_dir_all(mounted.join(version)).unwrap();
        std::fs::copy(ca.join("ca.crt"), mounted.join(version).join("ca.crt")).unwrap();
    }
    symlink("one", mounted.join("data")).unwrap();
    symlink("data/ca.crt", mounted.join("ca.crt")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace(
            "client_ca = \"pki/ca.crt\"",
            "client_ca = \"mounted/ca.crt\"",
        ),
    )
    .unwrap();
    dev.run();
    let mut line = Line::open(&dev, &dev.certificate(Role::Operator), Protocol::Http1).await;
    dev.reload(|| {
        symlink("two", mounted.join("swap")).unwrap();
        std::fs::rename(mounted.join("swap"), mounted.join("data")).unwrap();
    })
    .await;
    line.closed().await;
    let newcomer = pki::client(&other, &dev.scratch().join("newcomer"), "operator");
    Line::open(&dev, &newcomer, Protocol::Http1).await;
}
