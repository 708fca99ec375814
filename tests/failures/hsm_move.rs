//! Everything moves from the simulated HSM to SoftHSM2 while keys are issued and unwrapped.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Api, Dev, Role, eventually, lethe};
use lethe::node::verification_keys::VerificationKeys;
use lethe_core::receipt::Receipt;
use serde_json::Value;

/// More buckets than one step moves.
const KEYSPACES: usize = 20;

fn succeeded(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys_of(path: &Path) -> VerificationKeys {
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The receipt in an answer, checked; the key that signed it.
fn signer(keys: &VerificationKeys, answer: &Value) -> String {
    let receipt = Receipt::from_json(&answer["receipt"].to_string()).unwrap();
    keys.verify(&receipt).unwrap();
    receipt.facts.signing_key.to_string()
}

/// Issues and unwraps without a pause; every request must succeed.
async fn load(api: Api, room: String, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Vec<Value> {
    let mut keys = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let issued = api.issue("chat", &room).await.ok(201);
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        let opened = api.unwrap("chat", &room, wrapped).await.ok(200);
        assert_eq!(opened["data_key"], issued["data_key"]);
        if done.fetch_add(2, Ordering::SeqCst).is_multiple_of(50) {
            keys.push(issued);
        }
    }
    keys
}

/// Shreds one room after the other; each is destroyed in the end.
async fn shred(api: Api, stop: Arc<AtomicBool>) -> Vec<Value> {
    let (mut shreds, mut number) = (Vec::new(), 0);
    while !stop.load(Ordering::SeqCst) {
        let room = format!("gone {number}");
        number += 1;
        api.issue("chat", &room).await.ok(201);
        shreds.push(api.shred("chat", &room).await.ok(200));
    }
    shreds
}

async fn opens(api: &Api, keyspace: &str, key: &Value) {
    let room = key["conversation"].as_str().unwrap();
    let wrapped = key["wrapped_key"].as_str().unwrap();
    let opened = api.unwrap(keyspace, room, wrapped).await.ok(200);
    assert_eq!(opened["data_key"], key["data_key"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_without_one_failed_request() {
    let mut dev = Dev::start();
    dev.make_keyspaces(KEYSPACES).await;
    let api = dev.api(Role::MessageServer);
    let old_keys = [
        api.issue("chat", "room").await.ok(201),
        api.issue("ks-7", "room").await.ok(201),
    ];
    let old_shred = api.shred("chat", "gone before").await.ok(200);
    let old_pub = dev.scratch().join("old.pub");
    std::fs::copy(dev.dir().join("pki/verify.pub"), &old_pub).unwrap();
    dev.stop();
    dev.make_softhsm();
    dev.configure_softhsm("");
    dev.run();

    let operator = dev.api(Role::Operator);
    let ready = operator.get("/v1/hsm/moves").await.ok(200);
    assert_eq!(
        (&ready["state"], &ready["to"]["token"]),
        (&"ready".into(), &"lethe-dev".into())
    );
    // Not to what the service does not know.
    let other = dev.rotate_hsm("before.toml");
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(
        !other.status.success() && said.contains("moves to"),
        "{said}"
    );

    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let loads: Vec<_> = (0..4)
        .map(|number| {
            let (api, room) = (dev.api(Role::MessageServer), format!("busy {number}"));
            tokio::spawn(load(api, room, Arc::clone(&stop), Arc::clone(&done)))
        })
        .collect();
    let shreds = tokio::spawn(shred(dev.api(Role::MessageServer), Arc::clone(&stop)));
    eventually("there is load", async || done.load(Ordering::SeqCst) > 100).await;
    let (dev, moved) = tokio::task::spawn_blocking(move || {
        let moved = dev.rotate_hsm("next.toml");
        (dev, moved)
    })
    .await
    .unwrap();
    let mut dev = dev;
    let moved = succeeded(&moved);
    assert_eq!(moved["state"], "moved");
    assert_eq!(moved["buckets"], moved["moved_buckets"]);
    assert!(moved["buckets"].as_u64().unwrap() > 32, "{moved}");
    assert_eq!(dev.objects(), [], "the old HSM is empty");
    let during = done.load(Ordering::SeqCst);
    eventually("load goes on", async || {
        done.load(Ordering::SeqCst) > during + 100
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let mut issued = Vec::new();
    for load in loads {
        issued.extend(load.await.unwrap());
    }
    let shreds = shreds.await.unwrap();
    assert!(shreds.len() > 3, "{}", shreds.len());

    // The keys are told at once, in succession; receipts of before and after hold.
    let keys = keys_of(&dev.dir().join("pki/verify.pub"));
    assert_eq!((keys.named.len(), keys.successions.len()), (4, 2));
    let before = signer(&keys, &old_shred);
    let new_shred = api.shred("chat", "gone after").await.ok(200);
    let after = signer(&keys, &new_shred);
    assert_ne!(before, after);
    assert!(
        shreds
            .iter()
            .map(|it| signer(&keys, it))
            .all(|key| key == before || key == after)
    );
    let export = |trusted: &Path| {
        let mut command = lethe(&["keys", "export", "--dir"]);
        command.arg(dev.dir()).arg("--trusted").arg(trusted);
        command
            .arg("--server")
            .arg(format!("https://{}", dev.listen));
        command.output().unwrap()
    };
    assert!(export(&old_pub).status.success());
    let stranger = dev.scratch().join("stranger.pub");
    let text = std::fs::read_to_string(&old_pub).unwrap();
    let first = text.find("MCow").unwrap() + 30;
    let other = if &text[first..=first] == "A" {
        "B"
    } else {
        "A"
    };
    std::fs::write(
        &stranger,
        format!("{}{other}{}", &text[..first], &text[first + 1..]),
    )
    .unwrap();
    assert!(!export(&stranger).status.success());

    // Run again it finds that all is done; the operator is reminded.
    assert_eq!(succeeded(&dev.rotate_hsm("next.toml"))["state"], "moved");
    let (_, readiness) = dev.ops("/readyz").await;
    assert!(readiness.contains("make that section [hsm]"), "{readiness}");

    // With the old configuration it goes on in the new HSM.
    dev.stop();
    dev.run();
    let api = dev.api(Role::MessageServer);
    opens(&api, "chat", &old_keys[0]).await;
    opens(&api, "ks-7", &old_keys[1]).await;
    for key in &issued {
        opens(&api, "chat", key).await;
    }
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("brief", "2s", "1s").await.ok(201);
    eventually("buckets expire in the new HSM", async || {
        let expired = operator.get("/v1/expiries").await.ok(200);
        let expired = expired["expiries"].as_array().unwrap().clone();
        expired.iter().any(|it| signer(&keys, it) == after)
    })
    .await;
    assert_eq!(dev.objects(), []);
    dev.stop();

    // With the new one as well; without it the service refuses and says why.
    let text = |name: &str| std::fs::read_to_string(dev.dir().join(name)).unwrap();
    let (both, next, before) = (text("lethe.toml"), text("next.toml"), text("before.toml"));
    std::fs::write(dev.dir().join("lethe.toml"), &before).unwrap();
    let refused = dev.try_run().unwrap_err();
    assert_eq!(refused.code(), Some(3));
    assert!(dev.log().contains("moved to another HSM"), "{}", dev.log());
    assert_ne!(both, next);
    std::fs::write(dev.dir().join("lethe.toml"), &next).unwrap();
    dev.run();
    let api = dev.api(Role::MessageServer);
    opens(&api, "chat", &old_keys[0]).await;
    api.shred("chat", "room").await.ok(200);
    assert_eq!(
        succeeded(&dev.rotate_hsm("next.toml"))["state"],
        "unconfigured"
    );
    let told = keys_of(&dev.dir().join("pki/verify.pub"));
    assert_eq!(told, keys);
}
