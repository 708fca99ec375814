//! A device that dies, hangs, or does not do what it was told.

use std::time::Duration;

use lethe_core::ports::{ClaimKind, Hsm, HsmError, SigningPurpose};
use lethe_core::secret::Secret32;

use crate::device::{DEPLOYMENT, in_child, label, open, run};

#[test]
fn recovers_when_the_daemon_was_killed_and_restarted() {
    in_child(
        "faults::recovers_when_the_daemon_was_killed_and_restarted",
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
    in_child(
        "faults::a_destroy_given_up_on_does_no_late_harm",
        |device| {
            let _daemon = device.serve();
            run(async {
                let hsm = open(Duration::from_millis(700));
                let key = hsm.create_key(label(2)).await.unwrap();
                device.fault(&["set", "hang"]);
                let hung = hsm.destroy(key).await;
                assert!(matches!(hung, Err(HsmError::Unavailable(_))), "{hung:?}");
                device.fault(&["clear", "--all"]);
                tokio::time::sleep(Duration::from_millis(500)).await;
                let keys = hsm.keys(DEPLOYMENT).await.unwrap();
                assert_eq!(keys, [key]);
            });
        },
    );
}

#[test]
fn a_destroy_that_keeps_the_key_is_found_out() {
    in_child(
        "faults::a_destroy_that_keeps_the_key_is_found_out",
        |device| {
            let _daemon = device.serve();
            run(async {
                let hsm = open(Duration::from_secs(10));
                let key = hsm.create_key(label(3)).await.unwrap();
                device.fault(&["set", "destroy-keeps-key"]);
                let kept = hsm.destroy(key).await;
                assert!(matches!(kept, Err(HsmError::Device(_))), "{kept:?}");
            });
        },
    );
}

#[test]
fn a_claim_set_half_way_counts_and_is_tidied_up_by_the_next() {
    let name = "faults::a_claim_set_half_way_counts_and_is_tidied_up_by_the_next";
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
fn a_device_that_ignores_its_template_is_refused() {
    let name = "faults::a_device_that_ignores_its_template_is_refused";
    in_child(name, |device| {
        let _daemon = device.serve();
        run(async {
            let hsm = open(Duration::from_secs(10));
            // CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_MODIFIABLE, CKA_COPYABLE
            for (attribute, of_claims) in
                [(0x103, false), (0x162, false), (0x170, true), (0x171, true)]
            {
                device.fault(&["set", "ignore-template", &attribute.to_string()]);
                let key = hsm.create_key(label(1)).await.err();
                assert!(
                    matches!(key, Some(HsmError::Device(_))),
                    "{attribute:x} {key:?}"
                );
                let pair = hsm.create_signing_key(DEPLOYMENT, SigningPurpose::Receipt);
                let pair = pair.await.err();
                assert!(
                    matches!(pair, Some(HsmError::Device(_))),
                    "{attribute:x} {pair:?}"
                );
                if of_claims {
                    let claim = hsm.set_claim(DEPLOYMENT, ClaimKind::Held, "store");
                    let claim = claim.await.err();
                    assert!(
                        matches!(claim, Some(HsmError::Device(_))),
                        "{attribute:x} {claim:?}"
                    );
                }
                assert_eq!(device.json(&["dump"])["objects"], serde_json::json!([]));
            }

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
