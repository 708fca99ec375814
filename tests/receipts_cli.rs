//! `lethe receipt verify`, offline, on receipts that this test signs; and where the public keys come
//! from: `GET /v1/verification-keys`, `lethe keys export`, `pki/verify.pub`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe::verification_keys::{VerificationKeys, pem, to_text};
use lethe_core::conversation::ConversationId;
use lethe_core::grid::Generation;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{SigningPurpose, VerificationKey};
use lethe_core::receipt::{
    Accepted, Batch, BatchReceipts, Facts, Item, Method, Opening, Receipt, RequestId, ShreddedKey,
};
use lethe_core::secret::Secret32;
use lethe_core::time::{Expiry, Timestamp};
use serde_json::{Value, json};
use support::{Dev, Role};

const SIGNER: HsmKeyId = HsmKeyId::from_bytes([0x51; 16]);
const BUCKET: HsmKeyId = HsmKeyId::from_bytes([0xb0; 16]);
const KEYSPACE: KeyspaceId = KeyspaceId::from_bytes([0x4b; 16]);

fn opening(conversation: &str) -> Opening {
    let key = |version, generation| ShreddedKey {
        version: KeyVersion::new(version).unwrap(),
        generation: Generation::new(generation),
    };
    Opening {
        salt: Secret32::filled(|bytes| bytes.fill(0x5a)),
        keyspace: KEYSPACE,
        conversation: ConversationId::try_from(conversation).unwrap(),
        keys: vec![key(1, 3), key(2, 0)],
    }
}

fn accepted(number: u8) -> Accepted {
    Accepted {
        id: RequestId::from_bytes([number; 16]),
        keyspace: KEYSPACE,
        accepted_at: Timestamp::from_millis(1_523_642_400_000),
        leases_end_at: Timestamp::from_millis(1_523_642_700_000),
    }
}

fn shred(number: u8) -> Item {
    Item::Shred {
        accepted: accepted(number),
        commitment: opening(&format!("room {number}")).commitment(),
    }
}

/// A folder with a fresh signing key, its public half, and files that a test writes.
struct Auditor {
    folder: tempfile::TempDir,
    pair: Ed25519KeyPair,
}

impl Auditor {
    fn new() -> Self {
        let auditor = Self {
            folder: tempfile::tempdir().unwrap(),
            pair: Ed25519KeyPair::generate().unwrap(),
        };
        auditor.write("keys", &to_text(&auditor.keys()));
        auditor
    }

    fn keys(&self) -> Vec<VerificationKey> {
        let key = |id, purpose, public_key| VerificationKey {
            id,
            purpose,
            public_key,
        };
        let other = HsmKeyId::from_bytes([0x52; 16]);
        vec![
            key(SIGNER, SigningPurpose::Receipt, self.public_key()),
            key(other, SigningPurpose::Checkpoint, [9; 32]),
        ]
    }

    fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, facts: Facts, items: Vec<Item>) -> Vec<Receipt> {
        let receipts = BatchReceipts::new(Batch { facts, items }).unwrap();
        let signature = self.pair.sign(&receipts.statement());
        let signature = signature.as_ref().try_into().unwrap();
        receipts.receipts(signature).collect()
    }

    fn facts(method: Method, sequence: u64, destroyed: Vec<HsmKeyId>) -> Facts {
        Facts {
            deployment: DeploymentId::from_bytes([0xde; 16]),
            method,
            sequence,
            destroyed_at: Timestamp::from_millis(1_523_642_400_250),
            destroyed,
            signing_key: SIGNER,
        }
    }

    fn batch(&self, items: Vec<Item>) -> Vec<Receipt> {
        let roots = [1, 2].map(|n| HsmKeyId::from_bytes([n; 16]));
        let facts = Self::facts(Method::RootsDestroyed, 7, roots.to_vec());
        self.sign(facts, items)
    }

    fn expiry(&self) -> Receipt {
        let facts = Self::facts(Method::BucketKeyDestroyed, 0, vec![BUCKET]);
        let expiry = Expiry::from_seconds(1_523_642_400);
        let item = Item::BucketExpiry {
            key: BUCKET,
            expiry,
        };
        self.sign(facts, vec![item]).remove(0)
    }

    /// As the API answers a shred.
    fn answer(receipt: &Receipt, conversation: &str) -> Value {
        let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        json!({ "id": RequestId::from_bytes([1; 16]).to_string(), "state": "destroyed",
            "receipt": parse(receipt.to_json()),
            "opening": parse(opening(conversation).to_json()) })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn verify(&self, file: &str, words: &[&str]) -> Verdict {
        let key = ["receipt", "verify", file, "--key", "keys"];
        self.lethe(&[&key[..], words].concat(), "")
    }

    fn lethe(&self, words: &[&str], input: &str) -> Verdict {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .args(words)
            .current_dir(self.folder.path())
            .env_remove("LETHE_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Verdict(child.wait_with_output().unwrap())
    }

    /// Verifies this text, in both outputs.
    fn check(&self, text: &str) -> Verdict {
        self.write("file", text);
        let verdict = self.verify("file", &[]);
        let json = self.verify("file", &["--output", "json"]);
        let read: Value = serde_json::from_slice(&json.0.stdout).unwrap();
        assert_eq!(read["valid"], verdict.0.status.success(), "{text:.300}");
        assert_eq!(json.0.status, verdict.0.status);
        verdict
    }
}

struct Verdict(Output);

impl Verdict {
    #[track_caller]
    fn valid(&self) -> String {
        let errors = String::from_utf8_lossy(&self.0.stderr);
        assert!(self.0.status.success(), "{errors}");
        assert_eq!(errors, "");
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// One line that says this.
    #[track_caller]
    fn refused(&self, why: &str) {
        let errors = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("lethe: "), "{errors}");
        assert!(errors.contains(why), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

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
        "  conversation  told by the opening only, which is not here\n",
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

    // Plain PEM, as openssl writes it: the key has no id there.
    auditor.write("keys", &pem(&auditor.public_key()));
    auditor.check(&pretty).valid();
    let others = pem(&[7; 32]) + &pem(&auditor.public_key());
    auditor.write("keys", &others);
    auditor.check(&pretty).valid();
    auditor.write("keys", &pem(&[7; 32]));
    auditor
        .check(&pretty)
        .refused("receipt 1: the receipt's signature does not verify");

    let dir = auditor.path("dev");
    std::fs::create_dir_all(dir.join("pki")).unwrap();
    std::fs::write(dir.join("pki/verify.pub"), to_text(&auditor.keys())).unwrap();
    let words = ["receipt", "verify", "file", "--dir", "dev"];
    auditor.lethe(&words, "").valid();
}

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
    assert!(first.contains("told by the opening only"));
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
    let text = auditor.verify("file", &[]).valid();
    assert_eq!(text.matches(": valid").count(), 2_000);

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
    let told = answers().await;
    assert!(told.iter().all(|answer| *answer == told[0]));
    let keys = told[0]["keys"].as_array().unwrap();
    let purposes: Vec<_> = keys.iter().map(|key| &key["purpose"]).collect();
    assert_eq!(purposes, ["receipt", "checkpoint"]);
    for key in keys {
        assert_eq!(key["algorithm"], "Ed25519");
        assert_eq!(key["succeeds"], Value::Null);
        let read: VerificationKeys = key["pem"].as_str().unwrap().parse().unwrap();
        let public_key = key["public_key"].as_str().unwrap();
        use base64ct::{Base64, Encoding};
        assert_eq!(Base64::encode_string(&read.unnamed[0]), public_key);
        // In the device under the id that is told.
        let id = key["id"].as_str().unwrap().to_owned();
        assert!(dev.objects().iter().any(|(_, object)| object.contains(&id)));
    }

    let dir = dev.dir();
    let text = run(&mut in_dir(&["keys", "export"], &dir));
    let file = std::fs::read_to_string(dir.join("pki/verify.pub")).unwrap();
    assert_eq!(text, file);
    assert_eq!(text.parse::<VerificationKeys>().unwrap().named.len(), 2);
    let json = run(&mut in_dir(&["keys", "export", "--output", "json"], &dir));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), told[0]);
    let out = dev.scratch().join("out.pem");
    let printed = run(in_dir(&["keys", "export"], &dir).arg("--out").arg(&out));
    assert_eq!(printed, "");
    assert_eq!(std::fs::read_to_string(out).unwrap(), file);

    dev.kill_device();
    assert_eq!(answers().await, told);
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
    let told = run(&mut shred);
    assert_eq!(told.lines().count(), 2);
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
