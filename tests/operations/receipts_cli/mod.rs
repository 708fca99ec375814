//! `lethe receipt verify`, offline, on receipts that this test signs; and where the public keys come
//! from: `GET /v1/verification-keys`, `lethe keys export`, `pki/verify.pub`.

mod auditor;
mod files;
mod service;
mod wrong;

use auditor::{Auditor, BUCKET, KEYSPACE, SIGNER, accepted, shred};
use lethe_core::keyspace::KeyVersion;
use lethe_core::receipt::Item;
use serde_json::{Value, json};

#[test]
fn what_a_receipt_says() {
    let auditor = Auditor::new();
    let version = KeyVersion::new(4).unwrap();
    let receipts = auditor.batch(vec![
        shred(1),
        Item::KeyspaceErase {
            accepted: accepted(2),
        },
        Item::VersionDrop {
            accepted: accepted(3),
            version,
        },
    ]);
    let answer = Auditor::answer(&receipts[0], "room 1").to_string();
    let text = auditor.check(&answer).valid();
    let expected = format!(
        "receipt 1: valid
  what          the keys of a conversation
  conversation  \"room 1\", version.generation 1.3, 2.0
  destroyed     2018-04-13T18:00:00.250Z
  accepted      2018-04-13T18:00:00.000Z
  leases end    2018-04-13T18:05:00.000Z
  keyspace id   {KEYSPACE}
  request       01010101-0101-0101-0101-010101010101
  method        hsm-roots-destroyed, 2 keys in the HSM destroyed
  batch         7, item 1 of 3
  deployment    {}
  signed by     {SIGNER}\n",
        "de".repeat(16)
    );
    assert_eq!(text, expected);

    let lines: String = receipts[1..]
        .iter()
        .chain([&receipts[0], &auditor.expiry()])
        .map(|receipt| receipt.to_json() + "\n")
        .collect();
    let text = auditor.check(&lines).valid();
    for part in [
        "receipt 1: valid\n  what          a keyspace with all its key versions\n  destroyed",
        "receipt 2: valid\n  what          key version 4\n  destroyed",
        "  conversation  only the opening says it, and it is not here\n",
        "all keys that expired at 2018-04-13T18:00:00.000Z, with HSM key b0b0",
        "hsm-bucket-key-destroyed, 1 key in the HSM destroyed\n  deployment",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = auditor.verify("file", &["--output", "json"]).valid();
    let json: Value = serde_json::from_str(&json).unwrap();
    let kinds = json["receipts"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds
        .map(|receipt| receipt["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["keyspace_erase", "version_drop", "shred", "bucket_expiry"]
    );
    assert_eq!(json["receipts"][1]["version"], 4);
    assert_eq!(
        json["receipts"][3]["destroyed"],
        json!([BUCKET.to_string()])
    );
    assert_eq!(json["without_receipt"], 0);
}
