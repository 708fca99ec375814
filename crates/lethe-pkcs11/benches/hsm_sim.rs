//! Latency of the port's calls on hsm-sim, whose state lies in a folder below `target/`: a real
//! disk, not `/tmp`. `LETHE_BENCH_OBJECTS` says how many keys the token holds beforehand (100).

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use divan::Bencher;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Hsm, HsmKey, KeyLabel, SealedSecret, SigningPurpose};
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_pkcs11::{IvSource, Pin, Pkcs11Config, Pkcs11Hsm};

const MODULE: &str = "LETHE_BENCH_MODULE";
const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([1; 16]);

/// The module reads the socket from the environment of its process: the benchmark runs itself
/// again with it.
fn main() -> ExitCode {
    if std::env::var_os(MODULE).is_some() {
        divan::main();
        return ExitCode::SUCCESS;
    }
    let binaries = binaries();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut daemon = serve(&binaries.join("hsm-sim"), folder.path());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env("HSM_SIM_SOCKET", folder.path().join("hsm/hsm.sock"))
        .env(MODULE, binaries.join("libhsm_sim_pkcs11.so"))
        .status();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    if status.unwrap().success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `LETHE_BENCH_BINARIES`, or what is built here beside the benchmark.
fn binaries() -> PathBuf {
    if let Some(folder) = std::env::var_os("LETHE_BENCH_BINARIES") {
        return folder.into();
    }
    let deps = std::env::current_exe().unwrap();
    let folder = deps.parent().unwrap().parent().unwrap().to_owned();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "hsm-sim", "-p", "hsm-sim-pkcs11"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    folder
}

fn serve(binary: &Path, folder: &Path) -> Child {
    let (pin, dir) = (folder.join("pin"), folder.join("hsm"));
    std::fs::write(&pin, "12345678").unwrap();
    let mut init = Command::new(binary);
    init.args(["init", "--label", "bench", "--dir"]).arg(&dir);
    init.arg("--so-pin-file").arg(&pin);
    init.arg("--pin-file").arg(&pin);
    assert!(init.status().unwrap().success());
    let mut serve = Command::new(binary);
    serve.args(["serve", "--dir"]).arg(&dir);
    let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("hsm-sim ready"), "{line}");
    child
}

struct Device {
    hsm: Pkcs11Hsm,
    runtime: tokio::runtime::Runtime,
}

impl Device {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let hsm = Pkcs11Hsm::open(Pkcs11Config {
            module: std::env::var_os(MODULE).unwrap().into(),
            token: "bench".into(),
            pin: Pin::new("12345678".into()),
            last_pin_try: false,
            iv: IvSource::Caller,
            call_timeout: Duration::from_secs(30),
            threads: 1,
            max_objects: 20_000,
        })
        .unwrap();
        let device = Self { hsm, runtime };
        let objects =
            std::env::var("LETHE_BENCH_OBJECTS").map_or(100, |text| text.parse().unwrap());
        for _ in 0..objects {
            device.create();
        }
        device
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn create(&self) -> HsmKey {
        let expiry = Expiry::from_seconds(1_700_000_000);
        let label = KeyLabel::Bucket {
            deployment: DEPLOYMENT,
            expiry,
        };
        self.wait(self.hsm.create_key(label)).unwrap()
    }

    fn seal(&self, key: HsmKey) -> SealedSecret {
        let secret = Secret32::filled(|bytes| bytes.fill(7));
        self.wait(self.hsm.seal(key, b"aad", &secret)).unwrap()
    }

    fn open_sealed(&self, key: HsmKey, sealed: &SealedSecret) {
        drop(self.wait(self.hsm.open(key, b"aad", sealed)).unwrap());
    }

    fn destroy(&self, key: HsmKey) {
        self.wait(self.hsm.destroy(key)).unwrap();
    }
}

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(Device::open)
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn create(bencher: Bencher<'_, '_>) {
    let device = device();
    let mut made = Vec::new();
    bencher.bench_local(|| made.push(device.create()));
    made.into_iter().for_each(|key| device.destroy(key));
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn destroy(bencher: Bencher<'_, '_>) {
    let device = device();
    bencher
        .with_inputs(|| device.create())
        .bench_local_values(|key| device.destroy(key));
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn seal(bencher: Bencher<'_, '_>) {
    let device = device();
    let key = device.create();
    bencher.bench_local(|| device.seal(key));
    device.destroy(key);
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn open(bencher: Bencher<'_, '_>) {
    let device = device();
    let key = device.create();
    let sealed = device.seal(key);
    bencher.bench_local(|| device.open_sealed(key, &sealed));
    device.destroy(key);
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn sign(bencher: Bencher<'_, '_>) {
    let device = device();
    let purpose = SigningPurpose::Receipt;
    let pair = device.wait(device.hsm.create_signing_key(DEPLOYMENT, purpose));
    let id = pair.unwrap().id;
    bencher.bench_local(|| device.wait(device.hsm.sign(id, &[5; 100])).unwrap());
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn list(bencher: Bencher<'_, '_>) {
    let device = device();
    bencher.bench_local(|| device.wait(device.hsm.keys(DEPLOYMENT)).unwrap());
}

/// What one shred on an idle service asks of the HSM.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn shred(bencher: Bencher<'_, '_>) {
    let device = device();
    let purpose = SigningPurpose::Receipt;
    let pair = device.wait(device.hsm.create_signing_key(DEPLOYMENT, purpose));
    let id = pair.unwrap().id;
    let mut old = device.create();
    bencher.bench_local(|| {
        let root = device.create();
        let sealed = device.seal(root);
        device.open_sealed(root, &sealed);
        device.destroy(std::mem::replace(&mut old, root));
        device.wait(device.hsm.sign(id, &[5; 100])).unwrap()
    });
    device.destroy(old);
}
