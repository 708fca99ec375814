//! Files that the command line writes take the place of files alone.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, mknodat};

use crate::support::{Dev, lethe};

/// A link, a dangling link, a pipe and a folder.
fn obstacles(folder: &Path) -> [&'static str; 4] {
    std::fs::write(folder.join("target"), "kept").unwrap();
    symlink(folder.join("target"), folder.join("link")).unwrap();
    symlink(folder.join("nowhere"), folder.join("dangling")).unwrap();
    mknodat(CWD, folder.join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
    std::fs::create_dir(folder.join("folder")).unwrap();
    ["link", "dangling", "pipe", "folder"]
}

#[test]
fn nothing_but_a_file_is_replaced() {
    let dev = Dev::start();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    std::fs::write(at("list"), "a\n").unwrap();
    std::fs::write(at("keys"), "").unwrap();
    let (list, keys) = (at("list"), at("keys"));
    for obstacle in obstacles(place.path()) {
        let kind = at(obstacle).symlink_metadata().unwrap().file_type();
        for words in [
            vec!["keys", "export", "--out"],
            vec![
                "shred",
                "chat",
                "--in",
                list.to_str().unwrap(),
                "--receipts",
            ],
            vec!["shred", "chat", "a", "--state"],
            vec![
                "rewrap",
                "chat",
                "--force",
                "--in",
                keys.to_str().unwrap(),
                "--out",
            ],
        ] {
            let mut command = lethe(&words);
            command.arg(at(obstacle)).arg("--dir").arg(dev.dir());
            let output = command.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{words:?} {obstacle}: {errors}"
            );
            let now = at(obstacle).symlink_metadata().unwrap().file_type();
            assert_eq!(now, kind, "{words:?} {obstacle}");
        }
    }
    assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "kept");
    assert!(!at("nowhere").exists());
}

#[test]
fn receipts_are_their_owners_whoever_prepared_the_place() {
    let dev = Dev::start();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let shred = |conversation: &str| {
        let mut command = lethe(&["shred", "chat", conversation, "--receipts"]);
        command.arg(at("receipts")).arg("--dir").arg(dev.dir());
        command.output().unwrap()
    };
    // Where the receipts grow.
    std::fs::write(at("target"), "kept").unwrap();
    symlink(at("target"), at("receipts.part")).unwrap();
    let output = shred("a");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "kept");
    let mode = || at("receipts").metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    std::fs::remove_file(at("receipts")).unwrap();
    std::fs::write(at("receipts.part"), "").unwrap();
    let all = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(at("receipts.part"), all).unwrap();
    let output = shred("b");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(mode(), 0o600);
}

#[test]
fn what_everybody_may_change_is_not_served() {
    let mut dev = Dev::start();
    dev.stop();
    let _device = dev.serve_device();
    let config = dev.dir().join("lethe.toml");
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&config, everybody).unwrap();
    for command in ["serve", "init", "takeover"] {
        let output = lethe(&[command, "--config"]).arg(&config).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let named = format!("{}: every user may change it", config.display());
        assert!(errors.contains(&named), "{command}: {errors}");
    }
}
