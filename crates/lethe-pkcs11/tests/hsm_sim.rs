//! The port's contract on hsm-sim, and what only a simulator can do: hang, die, come back. Each
//! test runs itself again as a child, because the module reads `HSM_SIM_SOCKET` from its process.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lethe_core::identity::DeploymentId;
use lethe_core::ports::{ClaimKind, Hsm, HsmError, KeyLabel, SigningPurpose};
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_pkcs11::{IvSource, Pin, Pkcs11Config, Pkcs11Hsm};
use lethe_testkit::built;
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
        self.serve_with(&[])
    }

    fn serve_with(&self, options: &[&str]) -> Daemon {
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

    fn json(&self, words: &[&str]) -> serde_json::Value {
        let output = self.command(words).args(["--output", "json"]).output();
        serde_json::from_slice(&output.unwrap().stdout).unwrap()
    }

    /// Round trips to the device since it was started.
    fn calls(&self) -> u64 {
        self.json(&["status"])["calls"].as_u64().unwrap()
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
    Pkcs11Hsm::open(config(call_timeout)).unwrap()
}

fn config(call_timeout: Duration) -> Pkcs11Config {
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

const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([1; 16]);

#[test]
fn few_round_trips_are_made() {
    in_child("few_round_trips_are_made", |device| {
        let _daemon = device.serve();
        run(async {
            let hsm = Pkcs11Hsm::open(Pkcs11Config {
                threads: 1,
                ..config(Duration::from_secs(10))
            })
            .unwrap();
            let pair = hsm.create_signing_key(DEPLOYMENT, SigningPurpose::Receipt);
            let pair = pair.await.unwrap();
            for second in 0..10 {
                hsm.create_key(label(second)).await.unwrap();
            }
            let mut before = device.calls();
            let mut spent = || {
                let now = device.calls();
                now - std::mem::replace(&mut before, now)
            };
            let key = hsm.create_key(label(10)).await.unwrap();
            assert_eq!(spent(), 2, "create, and a look at what was made");
            let secret = Secret32::filled(|bytes| bytes.fill(7));
            let sealed = hsm.seal(key, b"aad", &secret).await.unwrap();
            assert_eq!(spent(), 2, "seal");
            hsm.open(key, b"aad", &sealed).await.unwrap();
            assert_eq!(spent(), 2, "open");
            hsm.sign(pair.id, b"message").await.unwrap();
            assert_eq!(spent(), 4, "sign");
            assert_eq!(hsm.keys(DEPLOYMENT).await.unwrap().len(), 11);
            assert_eq!(spent(), 12, "keys");
            hsm.destroy(key).await.unwrap();
            assert_eq!(spent(), 3, "destroy");
        });
    });
}

#[test]
fn a_device_that_chooses_ivs_seals_and_opens() {
    in_child("a_device_that_chooses_ivs_seals_and_opens", |device| {
        let _daemon = device.serve_with(&["--iv", "device"]);
        run(async {
            let hsm = Pkcs11Hsm::open(Pkcs11Config {
                iv: IvSource::Device,
                ..config(Duration::from_secs(10))
            })
            .unwrap();
            let key = hsm.create_key(label(1)).await.unwrap();
            let secret = Secret32::filled(|bytes| bytes.fill(7));
            let one = hsm.seal(key, b"aad", &secret).await.unwrap();
            let two = hsm.seal(key, b"aad", &secret).await.unwrap();
            assert_ne!(one.iv, two.iv);
            let opened = hsm.open(key, b"aad", &one).await.unwrap();
            assert!(opened.same_as(&secret));
            // Configured wrongly, nothing is sealed under an IV nobody kept.
            let wrong = open(Duration::from_secs(10));
            let refused = wrong.seal(key, b"aad", &secret).await;
            assert!(matches!(refused, Err(HsmError::Device(_))), "{refused:?}");
        });
    });
}

#[test]
fn a_claim_set_half_way_counts_and_is_tidied_up_by_the_next() {
    let name = "a_claim_set_half_way_counts_and_is_tidied_up_by_the_next";
    in_child(name, |device| {
        let daemon = device.serve();
        run(async {
            let hsm = open(Duration::from_secs(10));
            hsm.set_claim(DEPLOYMENT, ClaimKind::Held, "old store")
                .await
                .unwrap();
            device.fault(&["set", "crash-after-commit"]);
            let cut = hsm
                .set_claim(DEPLOYMENT, ClaimKind::Held, "new store")
                .await;
            assert!(matches!(cut, Err(HsmError::Unavailable(_))), "{cut:?}");
            drop(daemon);
            let _daemon = device.serve();
            let claims = || device.json(&["dump"])["objects"].as_array().unwrap().len();
            assert_eq!(claims(), 2);
            let claim = hsm.claim(DEPLOYMENT, ClaimKind::Held).await;
            assert_eq!(claim, Ok(vec!["new store".to_owned()]));
            hsm.set_claim(DEPLOYMENT, ClaimKind::Held, "third store")
                .await
                .unwrap();
            assert_eq!(claims(), 1);
            let claim = hsm.claim(DEPLOYMENT, ClaimKind::Held).await;
            assert_eq!(claim, Ok(vec!["third store".to_owned()]));
        });
    });
}

#[test]
fn room_made_by_others_is_found() {
    in_child("room_made_by_others_is_found", |device| {
        let _daemon = device.serve();
        run(async {
            let small = || Pkcs11Config {
                max_objects: 2,
                ..config(Duration::from_secs(10))
            };
            let (one, other) = (
                Pkcs11Hsm::open(small()).unwrap(),
                Pkcs11Hsm::open(small()).unwrap(),
            );
            let key = one.create_key(label(1)).await.unwrap();
            one.create_key(label(2)).await.unwrap();
            assert_eq!(one.create_key(label(3)).await, Err(HsmError::Full));
            other.destroy(key).await.unwrap();
            one.create_key(label(3)).await.unwrap();
            assert_eq!(one.create_key(label(4)).await, Err(HsmError::Full));
        });
    });
}

/// A device opened with a PIN; each opening tries it once at most.
fn open_with(pin: &str, last_pin_try: bool) -> Result<Pkcs11Hsm, HsmError> {
    Pkcs11Hsm::open(Pkcs11Config {
        pin: Pin::new(pin.into()),
        last_pin_try,
        ..config(Duration::from_secs(10))
    })
}

#[test]
fn the_last_try_of_a_pin_is_left_to_a_person() {
    let name = "the_last_try_of_a_pin_is_left_to_a_person";
    in_child(name, |device| {
        let _daemon = device.serve();
        for _ in 0..20 {
            let refused = open_with("wrong", false).err();
            assert!(matches!(refused, Some(HsmError::Pin(_))), "{refused:?}");
        }
        let flags = || device.json(&["status"])["flags"].as_u64().unwrap() & 0x7_0000;
        assert_eq!(flags(), 0x3_0000, "one try is left");
        let Some(HsmError::Pin(why)) = open_with("1234", false).err() else {
            panic!("a token with one try left was logged in to");
        };
        assert!(why.contains("--last-pin-try"), "{why}");
        open_with("1234", true).unwrap();
        assert_eq!(flags(), 0, "the right PIN gives all tries back");
    });
}

#[test]
fn a_pin_changed_under_a_running_service_is_tried_once() {
    let name = "a_pin_changed_under_a_running_service_is_tried_once";
    in_child(name, |device| {
        let daemon = device.serve();
        run(async {
            let hsm = Arc::new(open(Duration::from_secs(10)));
            hsm.create_key(label(1)).await.unwrap();
            let other = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child_changes_the_pin", "--nocapture"])
                .output()
                .unwrap();
            assert!(other.status.success(), "{other:?}");
            drop(daemon);
            let _daemon = device.serve();
            let calls = (0..20).map(|_| {
                let hsm = Arc::clone(&hsm);
                tokio::spawn(async move { hsm.random(8).await })
            });
            for call in calls.collect::<Vec<_>>() {
                let refused = call.await.unwrap();
                assert!(matches!(refused, Err(HsmError::Pin(_))), "{refused:?}");
            }
            // None of the tries that a token with nine wrong ones would be locked by.
            open_with("9999", false).unwrap();
            let tried = open_with("wrong", false).err();
            assert!(matches!(tried, Some(HsmError::Pin(_))), "{tried:?}");
        });
    });
}

/// The child of the test above.
#[test]
fn child_changes_the_pin() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
    use cryptoki::session::UserType;
    let module = Pkcs11::new(config(Duration::from_secs(1)).module).unwrap();
    let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    module.initialize(locking).unwrap();
    let slot = module.get_slots_with_token().unwrap()[0];
    let session = module.open_rw_session(slot).unwrap();
    let (old, new) = ("1234".to_owned().into(), "9999".to_owned().into());
    session.login(UserType::User, Some(&old)).unwrap();
    session.set_pin(&old, &new).unwrap();
}

#[test]
fn a_device_that_ignores_its_template_is_refused() {
    let name = "a_device_that_ignores_its_template_is_refused";
    in_child(name, |device| {
        let _daemon = device.serve();
        run(async {
            let hsm = open(Duration::from_secs(10));
            device.fault(&["set", "ignore-template"]);
            let key = hsm.create_key(label(1)).await.err();
            assert!(matches!(key, Some(HsmError::Device(_))), "{key:?}");
            let pair = hsm.create_signing_key(DEPLOYMENT, SigningPurpose::Receipt);
            let pair = pair.await.err();
            assert!(matches!(pair, Some(HsmError::Device(_))), "{pair:?}");
            let claim = hsm
                .set_claim(DEPLOYMENT, ClaimKind::Held, "store")
                .await
                .err();
            assert!(matches!(claim, Some(HsmError::Device(_))), "{claim:?}");
            assert_eq!(device.json(&["dump"])["objects"], serde_json::json!([]));

            device.fault(&["clear", "--all"]);
            hsm.create_key(label(1)).await.unwrap();
            let pair = hsm.create_signing_key(DEPLOYMENT, SigningPurpose::Receipt);
            pair.await.unwrap();
            hsm.set_claim(DEPLOYMENT, ClaimKind::Held, "store")
                .await
                .unwrap();
            let dump = device.json(&["dump"]);
            let objects = dump["objects"].as_array().unwrap();
            assert_eq!(objects.len(), 4);
            for object in objects {
                let attributes = &object["attributes"];
                // CKA_MODIFIABLE, CKA_COPYABLE
                assert_eq!(attributes["0x170"], "00", "{object}");
                assert_eq!(attributes["0x171"], "00", "{object}");
            }
        });
    });
}
