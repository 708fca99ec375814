//! What may be in a file, and what is read of a long one.

use lethe::node::verification_keys::{pem, to_text};
use serde_json::json;

use super::auditor::{Auditor, shred};

#[test]
fn every_shape_of_a_file_and_of_the_keys() {
    let auditor = Auditor::new();
    let receipts = auditor.batch(vec![shred(1), shred(2)]);
    let answers = [
        Auditor::answer(&receipts[0], "room 1"),
        Auditor::answer(&receipts[1], "room 2"),
    ];
    let pretty = serde_json::to_string_pretty(&answers[0]).unwrap();
    auditor.check(&pretty).valid();
    let refused = json!({ "error": { "code": "conflict", "detail": "no" } });
    let batch = json!({ "items": [answers[0], refused, answers[1]] });
    let text = auditor.check(&batch.to_string()).valid();
    assert_eq!(text.matches(": valid").count(), 2);
    assert!(text.ends_with("1 without a receipt: refused, or not yet destroyed\n"));
    let lines = format!("{}\r\n\n{batch}\n{}", answers[0], receipts[1].to_json());
    let text = auditor.check(&lines).valid();
    assert_eq!(text.matches(": valid").count(), 4);

    let words = ["receipt", "verify", "-", "--key", "keys"];
    auditor.lethe(&words, &receipts[0].to_json()).valid();

    // A key that could sign anything, such as checkpoints.
    auditor.write("keys", &pem(&auditor.public_key()));
    auditor
        .verify("file", &[])
        .refused("keys: the key on line 1 does not say what it signs");

    let dir = auditor.path("dev");
    std::fs::create_dir_all(dir.join("pki")).unwrap();
    std::fs::write(dir.join("pki/verify.pub"), to_text(&auditor.keys())).unwrap();
    let words = ["receipt", "verify", "file", "--dir", "dev"];
    auditor.lethe(&words, "").valid();
}

#[test]
fn files_that_hold_none() {
    let auditor = Auditor::new();
    for (text, why) in [
        ("", "file holds no receipt"),
        (" \n\n", "file holds no receipt"),
        ("{\"items\":[]}", "file holds no receipt"),
        (
            "{\"id\":\"x\",\"state\":\"accepted\"}",
            "file holds no receipt",
        ),
        ("garbage", "file: not JSON"),
        (
            "{\"format\":\"lethe/v1/receipt\"}",
            "receipt 1: not a receipt of Lethe: missing field",
        ),
        ("{\"receipt\":7}", "receipt 1: not a receipt of Lethe"),
        ("{}", "file: value 1 in it holds no receipt"),
        ("[]", "file: value 1 in it holds no answer of Lethe"),
        ("\u{0}", "file: not JSON"),
    ] {
        auditor.check(text).refused(why);
    }
    let receipt = auditor.batch(vec![shred(1)]).remove(0).to_json();
    let torn = format!("{receipt}\n{}", &receipt[..200]);
    auditor.check(&torn).refused("file: not JSON: EOF");
    std::fs::write(auditor.path("file"), [0xff; 100]).unwrap();
    auditor.verify("file", &[]).refused("file: not JSON");
    auditor
        .verify("nowhere", &[])
        .refused("nowhere: No such file");
    auditor.verify(".", &[]).refused(".: ");
}

/// Many receipts are read one by one; one endless value is refused.
#[test]
fn huge_files() {
    let auditor = Auditor::new();
    let batch = auditor.batch((0..2_000_u32).map(|n| shred((n % 100) as u8)).collect());
    let lines: String = batch
        .iter()
        .map(|receipt| receipt.to_json() + "\n")
        .collect();
    auditor.write("file", &lines);
    let text = auditor.verify("file", &["--verbose"]).valid();
    assert_eq!(text.matches(": valid").count(), 2_000);
    let text = auditor.verify("file", &[]).valid();
    assert_eq!(text.matches(": valid").count(), 10);
    assert!(
        text.ends_with("2000 receipts: 2000 valid, 0 not; --verbose shows all of each\n"),
        "{text}"
    );
    // What is wrong is seen among many.
    let mut damaged: Vec<_> = lines.lines().map(str::to_owned).collect();
    damaged[1_500] = damaged[1_500].replace("\"sequence\":7", "\"sequence\":8");
    assert_ne!(damaged.join("\n"), lines.trim_end());
    auditor.write("file", &damaged.join("\n"));
    let refused = auditor.verify("file", &[]);
    let text = String::from_utf8_lossy(&refused.0.stdout);
    assert!(text.contains("receipt 1501: NOT VALID"), "{text}");
    assert!(text.contains("2000 receipts: 1999 valid, 1 not"), "{text}");
    refused.refused("receipt 1501: ");

    auditor.write(
        "file",
        &format!("{{\"format\":\"{}\"}}", "x".repeat(65 << 20)),
    );
    auditor
        .verify("file", &[])
        .refused("file: a value in it is longer than 64 MiB");
    auditor.write("file", &"[".repeat(1 << 20));
    auditor.verify("file", &[]).refused("file: not JSON: EOF");
    let deep = ["[".repeat(1 << 20), "]".repeat(1 << 20)].concat();
    auditor.write("file", &format!("{{\"format\":\"x\",\"item\":{deep}}}"));
    auditor
        .verify("file", &[])
        .refused("receipt 1: not a receipt of Lethe: ");
}
