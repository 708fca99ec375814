//! Seizure after expiry: whoever has every copy of the database, every wrapped key and the inside
//! of the HSM opens every key that lives, and none that has expired (promises P1 and P2). The
//! attacker is `tests/independent/reader.py`, which shares nothing with the service but
//! `docs/FORMATS.md`.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lethe::clock::SystemClock;
use lethe_core::ports::Clock;
use lethe_core::time::Expiry;
use lethe_core::wrapped_key::WrappedKey;
use serde_json::{Value, json};

use support::{Api, Dev, Role, eventually};

const ROUNDS: usize = 24;
const ROOMS: usize = 20;

struct Kept {
    /// What the message server stores.
    stored: Value,
    data_key: String,
    expiry: Expiry,
}

async fn issue_round(api: &Api, round: usize, kept: &mut Vec<Kept>) {
    for keyspace in ["chat", "short"] {
        let rooms = (0..ROOMS).map(|room| format!("room {round} {room}"));
        let items: Vec<Value> = rooms.map(|room| json!({ "conversation": room })).collect();
        let path = format!("/v1/keyspaces/{keyspace}/data-keys");
        let issued = api.post(&path, &json!({ "items": items })).await.ok(200);
        for key in issued["items"].as_array().unwrap() {
            let wrapped: WrappedKey = key["wrapped_key"].as_str().unwrap().parse().unwrap();
            kept.push(Kept {
                stored: json!({ "keyspace": keyspace, "conversation": key["conversation"],
                                "wrapped_key": key["wrapped_key"] }),
                data_key: key["data_key"].as_str().unwrap().to_owned(),
                expiry: wrapped.header().expiry,
            });
        }
    }
}

/// What a thief or a backup takes: the files as they are at this moment.
fn copy_database(dev: &Dev, to: PathBuf) -> PathBuf {
    std::fs::create_dir(&to).unwrap();
    for name in ["lethe.db-wal", "lethe.db"] {
        let copied = std::fs::copy(dev.dir().join(name), to.join(name));
        assert!(copied.is_ok() || name == "lethe.db-wal");
    }
    to
}

fn opened(dump: &Path, wrapped: &Path, copies: &[PathBuf]) -> Vec<Option<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = Command::new(root.join("scripts/python")).output().unwrap();
    let output = Command::new(String::from_utf8(python.stdout).unwrap().trim())
        .arg(root.join("tests/independent/reader.py"))
        .arg("--dump")
        .arg(dump)
        .arg("--wrapped")
        .arg(wrapped)
        .args(copies)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let data_key = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["data_key"].as_str().map(str::to_owned)
    };
    lines.lines().map(data_key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_copies_with_the_hsm_open_what_lives_and_nothing_that_has_expired() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("short", "3s", "1s").await.ok(201);
    let api = dev.api(Role::MessageServer);
    let folder = dev.scratch();
    let (mut kept, mut copies) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        issue_round(&api, round, &mut kept).await;
        if round % 4 == 1 {
            copies.push(copy_database(&dev, folder.join(format!("copy-{round}"))));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // The first keys of `short` have expired by now. Longer than the reaper pauses, then until it
    // has no arrears.
    let settled = SystemClock.now();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let no_arrears = async || dev.metric("lethe_expiry_lag_seconds").await == 0;
    eventually("the reaper has no arrears", no_arrears).await;
    let dump = folder.join("dump.json");
    std::fs::write(&dump, dev.hsm_sim(&["dump", "--output", "json"])).unwrap();
    let seized = SystemClock.now();
    copies.push(copy_database(&dev, folder.join("copy-last")));

    let wrapped = folder.join("wrapped.jsonl");
    let lines: Vec<String> = kept.iter().map(|kept| kept.stored.to_string()).collect();
    std::fs::write(&wrapped, lines.join("\n")).unwrap();
    let opened = opened(&dump, &wrapped, &copies);
    assert_eq!(opened.len(), kept.len());

    let (mut living, mut dead) = (0, 0);
    for (kept, opened) in kept.iter().zip(&opened) {
        if !kept.expiry.has_passed(seized) {
            assert_eq!(
                opened.as_ref(),
                Some(&kept.data_key),
                "lost: {}",
                kept.stored
            );
            living += 1;
        } else if kept.expiry.has_passed(settled) {
            assert_eq!(opened, &None, "expired, and opens: {}", kept.stored);
            dead += 1;
        }
    }
    assert!(living >= ROUNDS * ROOMS, "{living} living keys");
    assert!(dead > ROOMS, "{dead} expired keys");
}
