//! A receipt, a key or an opening that is not the right one is refused, each for its reason.

use lethe::node::verification_keys::to_text;
use serde_json::{Value, json};

use super::auditor::{Auditor, opening, shred};

/// Each value of a receipt, changed alone.
#[test]
fn an_altered_receipt_is_refused() {
    let auditor = Auditor::new();
    let receipt = auditor.batch(vec![shred(1), shred(2), shred(3)]).remove(1);
    let json: Value = serde_json::from_str(&receipt.to_json()).unwrap();
    auditor.check(&json.to_string()).valid();
    let changes = [
        ("/format", json!("lethe/v2/receipt")),
        ("/item/kind", json!("keyspace_erase")),
        ("/item/id", json!("02020202-0202-0202-0202-020202020203")),
        ("/item/keyspace", json!("4c".repeat(16))),
        ("/item/accepted_at", json!("2018-04-13T18:00:00.001Z")),
        ("/item/leases_end_at", json!("2018-04-13T18:04:59.999Z")),
        (
            "/item/commitment",
            json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ),
        ("/destroyed_at", json!("2018-04-13T18:00:00.251Z")),
        ("/destroyed", json!([])),
        ("/destroyed/0", json!("03".repeat(16))),
        ("/method", json!("hsm-bucket-key-destroyed")),
        ("/deployment", json!("df".repeat(16))),
        ("/sequence", json!(8)),
        ("/batch/size", json!(4)),
        ("/batch/index", json!(0)),
        ("/batch/path", json!([])),
        (
            "/batch/path/0",
            json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ),
        ("/signature/algorithm", json!("none")),
        ("/signature/key", json!("53".repeat(16))),
        ("/signature/key", json!("52".repeat(16))),
        ("/signature/value", json!("A".repeat(86) + "==")),
        ("/signature/value", json!("")),
    ];
    for (place, value) in changes {
        let mut altered = json.clone();
        *altered.pointer_mut(place).unwrap() = value;
        auditor.check(&altered.to_string()).refused("receipt 1: ");
    }
    let mut more = json.clone();
    more["more"] = json!(1);
    auditor.check(&more.to_string()).refused("unknown field");
    // The first reason, with the receipt's number; the others are shown all the same.
    let mut altered = json.clone();
    altered["sequence"] = json!(8);
    let lines = format!("{json}\n{altered}\n{json}");
    let verdict = auditor.check(&lines);
    verdict.refused("receipt 2: the receipt's signature does not verify");
    let text = String::from_utf8(verdict.0.stdout).unwrap();
    assert!(text.contains(
        "\nreceipt 2: NOT VALID: the receipt's signature does not verify\nreceipt 3: valid"
    ));
}

#[test]
fn wrong_keys() {
    let auditor = Auditor::new();
    let receipt = auditor.batch(vec![shred(1)]).remove(0).to_json();
    let text = to_text(&auditor.keys());
    let receipt_key = text.split("# checkpoint").next().unwrap();
    for (keys, why) in [
        (to_text(&Auditor::new().keys()), "signature does not verify"),
        (
            text.replacen("5151", "5353", 1),
            "not among the verification keys",
        ),
        (
            text.replace("# receipt", "# checkpoint"),
            "does not sign receipts",
        ),
        (
            text.replace(receipt_key, ""),
            "not among the verification keys",
        ),
        (
            format!("{receipt_key}{receipt_key}"),
            "keys: the key of line 6 has the id",
        ),
        (String::new(), "keys: no public key in it"),
        ("garbage".into(), "keys: line 1 belongs to no public key"),
        (
            text.replace("PUBLIC", "PRIVATE"),
            "keys: the comment on line 1",
        ),
        ("\u{fffd}".repeat(1_000_000), "keys: "),
    ] {
        auditor.write("keys", &keys);
        auditor.write("file", &receipt);
        auditor.verify("file", &[]).refused(why);
    }
    std::fs::write(auditor.path("keys"), [0xff, 0xfe]).unwrap();
    auditor.verify("file", &[]).refused("keys: ");
    for (words, why) in [
        (
            &["receipt", "verify", "file"][..],
            "--key FILE is needed, or --dir",
        ),
        (
            &["receipt", "verify", "file", "--key", "nowhere"],
            "nowhere: No such file",
        ),
        (
            &["receipt", "verify", "file", "--dir", "nowhere"],
            "nowhere/pki/verify.pub: No such file",
        ),
    ] {
        auditor.lethe(words, "").refused(why);
    }
}

#[test]
fn openings() {
    let auditor = Auditor::new();
    let receipts = auditor.batch(vec![shred(1), shred(2)]);
    let wrong = Auditor::answer(&receipts[0], "room 2");
    auditor
        .check(&wrong.to_string())
        .refused("receipt 1: the opening does not open this receipt");
    let mut broken = Auditor::answer(&receipts[0], "room 1");
    broken["opening"]["salt"] = json!("");
    auditor
        .check(&broken.to_string())
        .refused("receipt 1: salt is not valid");

    let lines = receipts.iter().map(|receipt| receipt.to_json() + "\n");
    auditor.write("file", &lines.collect::<String>());
    auditor.write("opening", &opening("room 2").to_json());
    let text = auditor.verify("file", &["--opening", "opening"]).valid();
    let (first, second) = text.split_once("receipt 2: ").unwrap();
    assert!(first.contains("only the opening says it"));
    assert!(second.contains("conversation  \"room 2\""));
    auditor.write(
        "opening",
        &Auditor::answer(&receipts[0], "room 1").to_string(),
    );
    auditor.verify("file", &["--opening", "opening"]).valid();

    for (text, why) in [
        (
            opening("room 3").to_json(),
            "the opening does not open a valid receipt",
        ),
        (
            format!(
                "{}\n{}",
                opening("room 1").to_json(),
                opening("x").to_json()
            ),
            "the opening does not open a valid receipt",
        ),
        (String::new(), "opening holds no opening"),
        ("{}".into(), "opening: value 1 in it holds no opening"),
        ("garbage".into(), "opening: not JSON"),
        (
            opening("room 2").to_json().replace("\"keys\"", "\"more\""),
            "opening: not a receipt",
        ),
    ] {
        auditor.write("opening", &text);
        auditor
            .verify("file", &["--opening", "opening"])
            .refused(why);
    }
    auditor.write(
        "file",
        &receipts[0]
            .to_json()
            .replace("\"sequence\":7", "\"sequence\":8"),
    );
    auditor.write("opening", &opening("room 1").to_json());
    auditor
        .verify("file", &["--opening", "opening"])
        .refused("receipt 1: the receipt's signature");
}
