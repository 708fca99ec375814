//! Receipts and openings: the core and the program accept the same and refuse the same.

use lethe_core::identity::HsmKeyId;
use lethe_core::receipt::{Facts, Item, Method, Opening, Receipt};
use lethe_core::time::Timestamp;
use serde_json::{Value, json};

use super::alterations::alterations;
use super::signed::{
    self, CHECKPOINTS, drop_version, erase, expiry, facts, keys, opening, shred, sign,
};
use crate::support::independent as program;

/// What the core says of a line, as `receipts.py` reads it.
fn core_accepts(line: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    match value.get("receipt") {
        None => verifies(line).is_some(),
        // Values come through unchanged; only white space and order are lost.
        Some(receipt) => verifies(&receipt.to_string()).is_some_and(|receipt| {
            let opening = value.get("opening").filter(|opening| !opening.is_null());
            opening.is_none_or(|opening| opens(&receipt, &opening.to_string()))
        }),
    }
}

fn verifies(text: &str) -> Option<Receipt> {
    let receipt = Receipt::from_json(text).ok()?;
    receipt.verify(&keys()).ok().map(|()| receipt)
}

fn opens(receipt: &Receipt, text: &str) -> bool {
    Opening::from_json(text).is_ok_and(|opening| receipt.opens_with(&opening).is_ok())
}

/// What the program says of each line: whether it is valid, and what it covers.
fn program_says(lines: &[String], openings: bool) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let (keys, receipts) = (
        folder.path().join("verify.pub"),
        folder.path().join("r.jsonl"),
    );
    signed::write_keys(&keys);
    program::write_lines(&receipts, lines);
    let mut words = vec![
        "verify".into(),
        "--keys".into(),
        keys.into(),
        receipts.into(),
    ];
    if openings {
        words.push("--openings".into());
    }
    let output = program::run("receipts.py", words);
    let answers = program::json_lines(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(answers.len(), lines.len(), "{error}");
    let all = answers.iter().all(|answer| answer["valid"] == true);
    assert_eq!(output.status.success(), all);
    answers
}

/// Both accept `accepted` of these lines, and the same.
fn agree(lines: &[String], accepted: usize) {
    let (mut both, mut disputed) = (0, Vec::new());
    for (line, answer) in lines.iter().zip(program_says(lines, false)) {
        match (core_accepts(line), answer["valid"] == true) {
            (true, true) => both += 1,
            (false, false) => (),
            (core, _) => disputed.push(format!("core {core}, program {answer}: {line}")),
        }
    }
    assert!(disputed.is_empty(), "{}", disputed.join("\n"));
    assert_eq!(both, accepted);
}

fn one_of_each() -> Vec<Receipt> {
    let items = vec![shred(0), erase(1), drop_version(2)];
    let mut receipts = sign(facts(Method::RootsDestroyed), items);
    receipts.extend(sign(facts(Method::BucketKeyDestroyed), vec![expiry()]));
    receipts
}

#[test]
fn valid_ones() {
    let mut receipts = one_of_each();
    for size in [1, 2, 3, 4, 6, 7, 8, 9, 31, 33] {
        receipts.extend(sign(
            facts(Method::RootsDestroyed),
            (0..size).map(shred).collect(),
        ));
    }
    for millis in [0, 999, 253_402_207_200_999] {
        let mut facts = facts(Method::RootsDestroyed);
        facts.destroyed_at = Timestamp::from_millis(millis);
        receipts.extend(sign(facts, vec![erase(0)]));
    }
    let lines: Vec<_> = receipts.iter().map(Receipt::to_json).collect();
    agree(&lines, lines.len());
}

#[test]
fn altered_ones() {
    for receipt in one_of_each() {
        let value: Value = serde_json::from_str(&receipt.to_json()).unwrap();
        let altered = alterations(&value);
        assert!(altered.len() > 800, "{}", altered.len());
        let lines: Vec<_> = altered.iter().map(Value::to_string).collect();
        agree(&lines, 0);
    }
}

#[test]
fn openings() {
    let receipts = sign(
        facts(Method::RootsDestroyed),
        vec![shred(0), shred(1), erase(2)],
    );
    let answer = |receipt: &Receipt, opening: &Value| {
        let receipt: Value = serde_json::from_str(&receipt.to_json()).unwrap();
        json!({ "receipt": receipt, "opening": opening }).to_string()
    };
    let own: Value = serde_json::from_str(&opening("c0").to_json()).unwrap();
    let mut lines = vec![answer(&receipts[0], &own)];
    lines.push(answer(&receipts[1], &own));
    lines.push(answer(&receipts[2], &own));
    // Without an opening a receipt still proves itself.
    let altered = alterations(&own)
        .into_iter()
        .filter(|altered| !altered.is_null());
    lines.extend(altered.map(|opening| answer(&receipts[0], &opening)));
    assert!(lines.len() > 300);
    agree(&lines, 1);
    let covers = &program_says(&lines[..1], true)[0]["covers"];
    let key = |version, generation| {
        json!({ "keyspace": signed::KEYSPACE.to_string(), "conversation": "c0",
                "version": version, "generation": generation })
    };
    assert_eq!(*covers, json!([key(1, 3), key(2, 65_535)]));
    let bare = [receipts[0].to_json()];
    assert_eq!(
        program_says(&bare, true)[0]["valid"],
        false,
        "an opening was asked for"
    );
}

#[test]
fn strange_conversations() {
    let ids = [
        "a",
        "\u{e9}",
        "e\u{301}",
        "\u{2028}",
        "\u{1f30a} \"\\/",
        &"x".repeat(256),
    ];
    let mut lines = Vec::new();
    for id in ids {
        let item = Item::Shred {
            accepted: signed::accepted(0),
            commitment: opening(id).commitment(),
        };
        let receipt = sign(facts(Method::RootsDestroyed), vec![item]).remove(0);
        let pair = |opening: &str| {
            format!(
                "{{\"receipt\":{},\"opening\":{opening}}}",
                receipt.to_json()
            )
        };
        let (own, quoted) = (opening(id).to_json(), json!(id).to_string());
        lines.push(pair(&own));
        for other in [
            "",
            "\\u0007",
            "\u{7f}",
            "\u{85}",
            "\\ud800",
            &"y".repeat(257),
        ] {
            lines.push(pair(&own.replace(&quoted, &format!("\"{other}\""))));
        }
    }
    agree(&lines, ids.len());
}

/// Signed as it stands, and still no proof.
#[test]
fn contradictions() {
    let (roots, bucket) = (Method::RootsDestroyed, Method::BucketKeyDestroyed);
    let with = |method, change: &dyn Fn(&mut Facts)| {
        let mut facts = facts(method);
        change(&mut facts);
        facts
    };
    let other = HsmKeyId::from_bytes([9; 16]);
    let cases = [
        (with(roots, &|f| f.sequence = 0), shred(0)),
        (with(roots, &|f| f.destroyed.clear()), shred(0)),
        (with(roots, &|f| f.signing_key = CHECKPOINTS), shred(0)),
        (with(roots, &|f| f.signing_key = other), shred(0)),
        (with(roots, &|_| ()), expiry()),
        (with(bucket, &|_| ()), shred(0)),
        (with(bucket, &|f| f.sequence = 1), expiry()),
        (with(bucket, &|f| f.destroyed = vec![other]), expiry()),
        (with(bucket, &|f| f.destroyed.push(other)), expiry()),
        (with(bucket, &|f| f.destroyed.clear()), expiry()),
        // Shown as the last instant that has a text, so the signature is of another.
        (
            with(roots, &|f| {
                f.destroyed_at = Timestamp::from_millis(u64::MAX)
            }),
            shred(0),
        ),
        (
            with(roots, &|f| {
                f.destroyed_at = Timestamp::from_millis(253_402_207_201_000)
            }),
            shred(0),
        ),
    ];
    let receipts = cases
        .into_iter()
        .map(|(facts, item)| sign(facts, vec![item]).remove(0));
    let lines: Vec<_> = receipts.map(|receipt| receipt.to_json()).collect();
    agree(&lines, 0);
}

/// Other JSON of the same receipt: white space and order are free, spelling is not.
#[test]
fn spellings() {
    let text = one_of_each()[0].to_json();
    let value: Value = serde_json::from_str(&text).unwrap();
    let free = [
        text.replace(',', " ,\t"),
        format!(" {text} "),
        value.to_string(),
        text.replace("shred", "\\u0073hred"),
    ];
    agree(&free, free.len());
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let refused = [
        replaced("\"sequence\":7", "\"sequence\":7,\"sequence\":7"),
        replaced("\"sequence\":7", "\"sequence\":7.0"),
        replaced("\"sequence\":7", "\"sequence\":7e0"),
        replaced("\"sequence\":7", "\"sequence\":07"),
        replaced("\"sequence\":7", "\"sequence\":+7"),
        replaced("\"index\":0", "\"index\":-0"),
        replaced(
            "\"kind\":\"shred\"",
            "\"kind\":\"shred\",\"kind\":\"shred\"",
        ),
        replaced("\"kind\":\"shred\"", "\"kind\":\"shred\",\"version\":1"),
        replaced("\"batch\":", "\"batch\":null,\"batch\":"),
        replaced("}", ""),
        format!("{text}{text}"),
        format!("{text}x"),
        format!("\u{feff}{text}"),
        String::new(),
        "null".to_owned(),
        "NaN".to_owned(),
        replaced("\"destroyed\":[", "\"destroyed\":[,"),
    ];
    agree(&refused, 0);
}

/// Arrays in place of objects, an object in place of a name.
#[test]
fn shapes() {
    let value: Value = serde_json::from_str(&one_of_each()[0].to_json()).unwrap();
    let in_order = |of: &Value, names: &str| {
        Value::from(
            names
                .split(' ')
                .map(|name| of[name].clone())
                .collect::<Vec<_>>(),
        )
    };
    let with = |name: &str, part: Value| {
        let mut altered = value.clone();
        altered[name] = part;
        altered.to_string()
    };
    let all = "format item destroyed_at destroyed method deployment sequence batch signature";
    let item = "kind id keyspace accepted_at leases_end_at commitment";
    let lines = [
        in_order(&value, all).to_string(),
        with("batch", in_order(&value["batch"], "size index path")),
        with(
            "signature",
            in_order(&value["signature"], "algorithm key value"),
        ),
        with("item", in_order(&value["item"], item)),
        with("method", json!({ "hsm-roots-destroyed": null })),
    ];
    agree(&lines, 0);
}
