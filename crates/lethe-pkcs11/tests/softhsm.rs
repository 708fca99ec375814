//! The port's contract on SoftHSM2. The module reads `SOFTHSM2_CONF` from the environment of its
//! process, so that each test runs itself again as a child with a token of its own. Without
//! SoftHSM2 the tests fail; they do not skip.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lethe_core::identity::DeploymentId;
use lethe_core::ports::{ClaimKind, Hsm, HsmError, KeyLabel, SigningPurpose};
use lethe_core::time::Expiry;
use lethe_pkcs11::{IvSource, Pin, Pkcs11Config, Pkcs11Hsm, TokenSelector};
use lethe_testkit::hsm_contract::Clause;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CHILD: &str = "LETHE_SOFTHSM_CHILD";

lethe_testkit::hsm_contract!(on_softhsm);

fn on_softhsm(name: &str, clause: Clause) {
    in_child(name, || {
        let hsm: Arc<dyn Hsm> = Arc::new(Pkcs11Hsm::open(config()).unwrap());
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

/// Runs `body` in a child process that has a fresh token.
fn in_child(name: &str, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    assert!(
        Path::new(MODULE).exists(),
        "SoftHSM2 is not installed: no {MODULE}"
    );
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("softhsm2.conf");
    std::fs::create_dir(directory.path().join("tokens")).unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(
        &conf,
        format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        ),
    )
    .unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "lethe",
            "--so-pin",
            "12345678",
            "--pin",
            "1234",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .stdout(Stdio::null())
        .status()
        .expect("softhsm2-util is not installed");
    assert!(made.success());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("SOFTHSM2_CONF", &conf)
        .env(CHILD, "1")
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

fn config() -> Pkcs11Config {
    Pkcs11Config {
        module: MODULE.into(),
        token: "lethe".into(),
        pin: Pin::new("1234".into()),
        last_pin_try: false,
        iv: IvSource::Caller,
        call_timeout: Duration::from_secs(10),
        threads: 4,
        max_objects: 1000,
    }
}

#[test]
fn a_wrong_pin_is_a_pin_error() {
    in_child("a_wrong_pin_is_a_pin_error", || {
        let wrong = Pkcs11Config {
            pin: Pin::new("4321".into()),
            ..config()
        };
        assert!(matches!(Pkcs11Hsm::open(wrong), Err(HsmError::Pin(_))));
    });
}

#[test]
fn a_missing_token_is_unavailable() {
    in_child("a_missing_token_is_unavailable", || {
        let absent = Pkcs11Config {
            token: "absent".into(),
            ..config()
        };
        assert!(matches!(
            Pkcs11Hsm::open(absent),
            Err(HsmError::Unavailable(_))
        ));
    });
}

#[test]
fn beyond_max_objects_it_is_full() {
    in_child("beyond_max_objects_it_is_full", || {
        let hsm = Pkcs11Hsm::open(Pkcs11Config {
            max_objects: 1,
            ..config()
        })
        .unwrap();
        let deployment = DeploymentId::from_bytes([1; 16]);
        let label = KeyLabel::Bucket {
            deployment,
            expiry: Expiry::from_seconds(1),
        };
        run(async {
            let key = hsm.create_key(label).await.unwrap();
            assert_eq!(hsm.create_key(label).await, Err(HsmError::Full));
            hsm.destroy(key).await.unwrap();
            hsm.create_key(label).await.unwrap();
        });
    });
}

fn init_token(slot: &str) {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", slot, "--label", "lethe"])
        .args(["--so-pin", "12345678", "--pin", "1234"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn two_tokens_of_one_label_are_told_apart_or_refused() {
    let name = "two_tokens_of_one_label_are_told_apart_or_refused";
    in_child(name, || {
        use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
        init_token("--free");
        let module = Pkcs11::new(MODULE).unwrap();
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        module.initialize(locking).unwrap();
        let slots = module.get_slots_with_token().unwrap();
        let token = |slot: &_| module.get_token_info(*slot).unwrap();
        let ours: Vec<_> = slots
            .into_iter()
            .filter(|slot| token(slot).label() == "lethe")
            .collect();
        assert_eq!(ours.len(), 2);

        let wrong_pin = || Pin::new("wrong".into());
        let refused = Pkcs11Hsm::open(Pkcs11Config {
            pin: wrong_pin(),
            ..config()
        });
        let Err(HsmError::Device(why)) = refused else {
            panic!("two tokens of one label and no refusal");
        };
        assert!(why.contains("more than one token \"lethe\""), "{why}");
        for slot in &ours {
            assert!(!token(slot).user_pin_count_low(), "a try was spent");
        }

        for slot in &ours {
            let serial = token(slot).serial_number().to_owned();
            for (serial, slot) in [(Some(serial), None), (None, Some(slot.id()))] {
                let selector = TokenSelector {
                    serial,
                    slot,
                    ..TokenSelector::from("lethe")
                };
                Pkcs11Hsm::open(Pkcs11Config {
                    token: selector,
                    ..config()
                })
                .unwrap();
            }
        }
        let selector = TokenSelector {
            serial: Some("none".into()),
            ..TokenSelector::from("lethe")
        };
        let absent = Pkcs11Hsm::open(Pkcs11Config {
            token: selector,
            ..config()
        });
        assert!(matches!(absent, Err(HsmError::Unavailable(_))));
    });
}

#[test]
fn what_was_made_cannot_be_changed_or_copied() {
    let name = "what_was_made_cannot_be_changed_or_copied";
    in_child(name, || {
        use cryptoki::object::{Attribute, AttributeType, ObjectClass};
        use cryptoki::session::UserType;
        let hsm = Pkcs11Hsm::open(config()).unwrap();
        let deployment = DeploymentId::from_bytes([1; 16]);
        run(async {
            let expiry = Expiry::from_seconds(1);
            hsm.create_key(KeyLabel::Bucket { deployment, expiry })
                .await
                .unwrap();
            hsm.set_claim(deployment, ClaimKind::Held, "store")
                .await
                .unwrap();
            let pair = hsm.create_signing_key(deployment, SigningPurpose::Receipt);
            pair.await.unwrap();
        });
        // Loaded and initialised by the adapter.
        let module = cryptoki::context::Pkcs11::new(MODULE).unwrap();
        let slot = module.get_slots_with_token().unwrap()[0];
        let session = module.open_rw_session(slot).unwrap();
        // The adapter is logged in, for the application.
        let _ = session.login(UserType::User, Some(&"1234".to_owned().into()));
        for class in [
            ObjectClass::DATA,
            ObjectClass::SECRET_KEY,
            ObjectClass::PUBLIC_KEY,
            ObjectClass::PRIVATE_KEY,
        ] {
            let template = [Attribute::Token(true), Attribute::Class(class)];
            let objects = session.find_objects(&template).unwrap();
            assert_eq!(objects.len(), 1, "{class}");
            let copyable = session.get_attributes(objects[0], &[AttributeType::Copyable]);
            assert_eq!(copyable.unwrap(), [Attribute::Copyable(false)], "{class}");
            let change = [Attribute::Label(b"other".to_vec())];
            session.update_attributes(objects[0], &change).unwrap_err();
            session.copy_object(objects[0], &change).unwrap_err();
        }
    });
}
