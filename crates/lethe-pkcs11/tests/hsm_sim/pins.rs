//! PINs: no try is wasted, and none is made in vain.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::{Hsm, HsmError};
use lethe_pkcs11::{Pin, Pkcs11Config, Pkcs11Hsm};

use crate::device::{CHILD, config, in_child, label, open, run};

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
    let name = "pins::the_last_try_of_a_pin_is_left_to_a_person";
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
    let name = "pins::a_pin_changed_under_a_running_service_is_tried_once";
    in_child(name, |device| {
        let daemon = device.serve();
        run(async {
            let hsm = Arc::new(open(Duration::from_secs(10)));
            hsm.create_key(label(1)).await.unwrap();
            let other = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "pins::child_changes_the_pin", "--nocapture"])
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
