//! Receipts and keys of a service that runs, from the order to the check.

use std::path::Path;
use std::process::Command;

use lethe::node::verification_keys::VerificationKeys;
use serde_json::Value;

use crate::support::{self, Dev, Role};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn in_dir(words: &[&str], dir: &Path) -> Command {
    let mut command = support::lethe(words);
    command.arg("--dir").arg(dir).env_remove("LETHE_DIR");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_come_from_the_service_and_stay_while_the_hsm_is_away() {
    let dev = Dev::start();
    let answers = async || {
        let mut answers = Vec::new();
        for role in Role::ALL {
            let answer = dev.api(role).get("/v1/verification-keys").await;
            answers.push(answer.ok(200));
        }
        answers
    };
    let shown = answers().await;
    assert!(shown.iter().all(|answer| *answer == shown[0]));
    let keys = shown[0]["keys"].as_array().unwrap();
    let purposes: Vec<_> = keys.iter().map(|key| &key["purpose"]).collect();
    assert_eq!(purposes, ["receipt", "checkpoint"]);
    for key in keys {
        assert_eq!(key["algorithm"], "Ed25519");
        assert_eq!(key["succeeds"], Value::Null);
        let text = |field: &str| key[field].as_str().unwrap();
        let named = format!("# {} {}\n{}", text("purpose"), text("id"), text("pem"));
        let read: VerificationKeys = named.parse().unwrap();
        let public_key = text("public_key");
        use base64ct::{Base64, Encoding};
        let read = Base64::encode_string(&read.named[0].public_key);
        assert_eq!(read, public_key);
        // In the device under the id that the service shows.
        let id = key["id"].as_str().unwrap().to_owned();
        assert!(dev.objects().iter().any(|(_, object)| object.contains(&id)));
    }

    let dir = dev.dir();
    let text = run(&mut in_dir(&["keys", "export"], &dir));
    let file = std::fs::read_to_string(dir.join("pki/verify.pub")).unwrap();
    assert_eq!(text, file);
    assert_eq!(text.parse::<VerificationKeys>().unwrap().named.len(), 2);
    let json = run(&mut in_dir(&["keys", "export", "--output", "json"], &dir));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), shown[0]);
    let out = dev.scratch().join("out.pem");
    let printed = run(in_dir(&["keys", "export"], &dir).arg("--out").arg(&out));
    assert_eq!(printed, "");
    assert_eq!(std::fs::read_to_string(out).unwrap(), file);

    dev.take_device();
    assert_eq!(answers().await, shown);
    assert_eq!(run(&mut in_dir(&["keys", "export"], &dir)), file);
}

/// What `lethe shred` saves, `lethe receipt verify` reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shred_from_its_order_to_its_receipt() {
    let dev = Dev::start();
    let dir = dev.dir();
    let api = dev.api(Role::MessageServer);
    let wrapped = api.issue("chat", "room 1").await.text("wrapped_key");
    let kept = api.issue("chat", "room 2").await.text("wrapped_key");
    let receipts = dev.scratch().join("receipts");
    let list = dev.scratch().join("list");
    std::fs::write(&list, "room 1\nnever used\n").unwrap();
    let mut shred = in_dir(&["shred", "chat"], &dir);
    shred
        .arg("--in")
        .arg(&list)
        .arg("--receipts")
        .arg(&receipts);
    let printed = run(&mut shred);
    assert_eq!(printed.lines().count(), 2);
    support::refused(
        &api.unwrap("chat", "room 1", &wrapped).await,
        410,
        "shredded",
    );
    api.unwrap("chat", "room 2", &kept).await.ok(200);
    let text = run(in_dir(&["receipt", "verify"], &dir).arg(&receipts));
    assert_eq!(text.matches(": valid").count(), 2);
    assert!(text.contains("\"room 1\""), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_keyspace_leaves_a_receipt() {
    let dev = Dev::start();
    let dir = dev.dir();
    let api = dev.api(Role::MessageServer);
    let wrapped = api.issue("chat", "room 1").await.text("wrapped_key");
    run(&mut in_dir(&["rotate", "keyspace", "chat"], &dir));
    let newer = api.issue("chat", "room 1").await;
    assert_eq!(newer.body["version"], 2);
    let drop = [
        "keyspace",
        "drop-version",
        "chat",
        "1",
        "--yes",
        "--output",
        "json",
    ];
    let dropped = run(&mut in_dir(&drop, &dir));
    let gone = api.unwrap("chat", "room 1", &wrapped).await;
    support::refused(&gone, 410, "version_retired");
    let erase = ["keyspace", "erase", "chat", "--yes", "--output", "json"];
    let erased = run(&mut in_dir(&erase, &dir));
    let gone = api.issue("chat", "room 1").await;
    support::refused(&gone, 404, "unknown_keyspace");
    run(&mut in_dir(&["rotate", "root"], &dir));
    let answers = dev.scratch().join("answers");
    std::fs::write(&answers, dropped + &erased).unwrap();
    let text = run(in_dir(&["receipt", "verify"], &dir).arg(&answers));
    assert!(text.contains("key version 1\n"), "{text}");
    assert!(
        text.contains("a keyspace with all its key versions"),
        "{text}"
    );
}
