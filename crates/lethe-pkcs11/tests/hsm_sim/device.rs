//! The simulator as a device of a test: its folder, its daemon, and the port on it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use lethe_core::identity::DeploymentId;
use lethe_core::ports::KeyLabel;
use lethe_core::time::Expiry;
use lethe_pkcs11::{IvSource, Pin, Pkcs11Config, Pkcs11Hsm};
use lethe_testkit::built;

/// The variable that names the device's folder to the child.
pub(super) const CHILD: &str = "LETHE_HSM_SIM_CHILD";
pub(super) const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([1; 16]);

pub(super) fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

/// The folder where cargo puts binaries, with simulator and module in it.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let folder = std::env::current_exe().unwrap();
        let folder = folder.parent().unwrap().parent().unwrap().to_owned();
        built(&folder, "hsm-sim", "hsm-sim");
        built(&folder, "hsm-sim-pkcs11", "libhsm_sim_pkcs11.so");
        folder
    })
}

pub(super) struct Device(PathBuf);

/// A running daemon, killed with the test.
pub(super) struct Daemon(Child);

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

    pub(super) fn serve(&self) -> Daemon {
        self.serve_with(&[])
    }

    pub(super) fn serve_with(&self, options: &[&str]) -> Daemon {
        let mut child = self
            .command(&[&["serve", "--exit-on-stdin-close"], options].concat())
            .stdin(Stdio::piped())
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

    pub(super) fn json(&self, words: &[&str]) -> serde_json::Value {
        let output = self.command(words).args(["--output", "json"]).output();
        serde_json::from_slice(&output.unwrap().stdout).unwrap()
    }

    /// Round trips to the device since it was started.
    pub(super) fn calls(&self) -> u64 {
        self.json(&["status"])["calls"].as_u64().unwrap()
    }

    pub(super) fn fault(&self, words: &[&str]) {
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

pub(super) fn in_child(name: &str, body: impl FnOnce(&Device)) {
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

pub(super) fn open(call_timeout: Duration) -> Pkcs11Hsm {
    Pkcs11Hsm::open(config(call_timeout)).unwrap()
}

pub(super) fn config(call_timeout: Duration) -> Pkcs11Config {
    let module = binary().with_file_name("libhsm_sim_pkcs11.so");
    Pkcs11Config {
        module,
        token: "lethe".into(),
        pin: Pin::new("1234".into()),
        last_pin_try: false,
        iv: IvSource::Caller,
        call_timeout,
        threads: 2,
        max_objects: 1000,
    }
}

pub(super) fn label(seconds: u64) -> KeyLabel {
    KeyLabel::Bucket {
        deployment: DEPLOYMENT,
        expiry: Expiry::from_seconds(seconds),
    }
}
