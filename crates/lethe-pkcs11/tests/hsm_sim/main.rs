//! The port's contract on hsm-sim, and what only a simulator can do: hang, die, come back. Each
//! test runs itself again as a child, because the module reads `HSM_SIM_SOCKET` from its process.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod device;
mod faults;
mod pins;

use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::{Hsm, HsmError, SigningPurpose};
use lethe_core::secret::Secret32;
use lethe_pkcs11::{IvSource, Pkcs11Config, Pkcs11Hsm};
use lethe_testkit::hsm_contract::Clause;

use device::{DEPLOYMENT, config, in_child, label, open, run};

lethe_testkit::hsm_contract!(on_hsm_sim);

fn on_hsm_sim(name: &str, clause: Clause) {
    in_child(name, |device| {
        let _daemon = device.serve();
        let hsm: Arc<dyn Hsm> = Arc::new(open(Duration::from_secs(10)));
        run(clause(hsm));
    });
}

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
