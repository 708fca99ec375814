//! The port's contract on hsm-sim, and what only a simulator can do: hang, die, come back. Each
//! test runs itself again as a child, because the module reads `HSM_SIM_SOCKET` from its process.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Hsm, HsmError, KeyLabel};
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_pkcs11::{IvSource, Pin, Pkcs11Config, Pkcs11Hsm};
use lethe_testkit::hsm_contract::Clause;

/// Where the child finds the device's folder.
const CHILD: &str = "LETHE_HSM_SIM_CHILD";

lethe_testkit::hsm_contract!(on_hsm_sim);

fn on_hsm_sim(name: &str, clause: Clause) {
    in_child(name, |device| {
        let _daemon = device.serve();
        let hsm: Arc<dyn Hsm> = Arc::new(open(Duration::from_secs(10)));
        run(clause(hsm));
    });
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

/// The folder where cargo puts binaries; builds simulator and module once.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let folder = std::env::current_exe().unwrap();
        let folder = folder.parent().unwrap().parent().unwrap().to_owned();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "hsm-sim", "-p", "hsm-sim-pkcs11"])
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            .status()
            .unwrap();
        assert!(built.success());
        folder
    })
}

struct Device(PathBuf);

/// A running daemon, killed with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Device {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--dir").arg(self.0.join("hsm"));
        command
    }

    fn init(&self) {
        std::fs::write(self.0.join("so-pin"), "12345678").unwrap();
        std::fs::write(self.0.join("pin"), "1234").unwrap();
        let status = self
            .command(&["init", "--label", "lethe"])
            .arg("--so-pin-file")
            .arg(self.0.join("so-pin"))
            .arg("--pin-file")
            .arg(self.0.join("pin"))
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }

    fn serve(&self) -> Daemon {
        let mut child = self
            .command(&["serve"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("hsm-sim ready"), "{line}");
        Daemon(child)
    }

    fn fault(&self, words: &[&str]) {
        let status = self
            .command(&[&["fault"], words].concat())
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }
}

fn binary() -> PathBuf {
    std::env::var_os("HSM_SIM_BINARY").map_or_else(|| binaries().join("hsm-sim"), PathBuf::from)
}

fn in_child(name: &str, body: impl FnOnce(&Device)) {
    if let Some(folder) = std::env::var_os(CHILD) {
        return body(&Device(folder.into()));
    }
    let folder = tempfile::tempdir().unwrap();
    Device(folder.path().to_owned()).init();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("HSM_SIM_SOCKET", folder.path().join("hsm/hsm.sock"))
        .env("HSM_SIM_BINARY", binaries().join("hsm-sim"))
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    // A child that ran no test would also succeed.
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

fn open(call_timeout: Duration) -> Pkcs11Hsm {
    let module = binary().with_file_name("libhsm_sim_pkcs11.so");
    Pkcs11Hsm::open(Pkcs11Config {
        module,
        token_label: "lethe".into(),
        pin: Pin::new("1234".into()),
        iv: IvSource::Caller,
        call_timeout,
        threads: 2,
        max_objects: 1000,
    })
    .unwrap()
}

fn label(seconds: u64) -> KeyLabel {
    let deployment = DeploymentId::from_bytes([1; 16]);
    KeyLabel::Bucket {
        deployment,
        expiry: Expiry::from_seconds(seconds),
    }
}

#[test]
fn recovers_when_the_daemon_was_killed_and_restarted() {
    in_child(
        "recovers_when_the_daemon_was_killed_and_restarted",
        |device| {
            let daemon = device.serve();
            run(async {
                let hsm = open(Duration::from_secs(10));
                let key = hsm.create_key(label(1)).await.unwrap();
                let secret = Secret32::filled(|bytes| bytes.fill(7));
                let sealed = hsm.seal(key, b"aad", &secret).await.unwrap();
                drop(daemon);
                let down = hsm.open(key, b"aad", &sealed).await;
                assert!(matches!(down, Err(HsmError::Unavailable(_))), "{down:?}");
                let _daemon = device.serve();
                assert!(
                    hsm.open(key, b"aad", &sealed)
                        .await
                        .unwrap()
                        .same_as(&secret)
                );
            });
        },
    );
}

#[test]
fn a_destroy_given_up_on_does_no_late_harm() {
    in_child("a_destroy_given_up_on_does_no_late_harm", |device| {
        let _daemon = device.serve();
        run(async {
            let hsm = open(Duration::from_millis(700));
            let key = hsm.create_key(label(2)).await.unwrap();
            device.fault(&["set", "hang"]);
            let hung = hsm.destroy(key).await;
            assert!(matches!(hung, Err(HsmError::Unavailable(_))), "{hung:?}");
            device.fault(&["clear", "--all"]);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let keys = hsm.keys(DeploymentId::from_bytes([1; 16])).await.unwrap();
            assert_eq!(keys, [key]);
        });
    });
}

#[test]
fn a_destroy_that_keeps_the_key_is_found_out() {
    in_child("a_destroy_that_keeps_the_key_is_found_out", |device| {
        let _daemon = device.serve();
        run(async {
            let hsm = open(Duration::from_secs(10));
            let key = hsm.create_key(label(3)).await.unwrap();
            device.fault(&["set", "destroy-keeps-key"]);
            let kept = hsm.destroy(key).await;
            assert!(matches!(kept, Err(HsmError::Device(_))), "{kept:?}");
        });
    });
}
