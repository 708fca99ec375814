//! What receipts cover, by the independent program; and who else must agree with it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lethe_core::time::Expiry;
use serde_json::{Value, json};

use super::haul::{Answered, Haul, Kept};
use super::moment::Moment;
use crate::support::independent as program;
use crate::support::{Dev, Role, lethe};

/// All that receipts say is gone.
#[derive(Default)]
pub struct Covered {
    keys: HashSet<(String, u64, u64, String)>,
    /// Keyspace ids, with one version or all.
    trees: HashSet<(String, Option<u64>)>,
    expiries: HashSet<u64>,
}

impl Covered {
    /// Verifies every receipt there is at a still moment, those of expiries from the copy's own rows.
    pub fn at(moment: &Moment, dev: &Dev, haul: &Haul) -> Self {
        let rebuilt = rebuilt(&moment.folder);
        agree(moment.answers(haul), &rebuilt);
        let expiries = rebuilt.into_iter().filter(is_expiry);
        let expiries = expiries.map(|receipt| json!({ "receipt": receipt }));
        Self::by(
            dev,
            moment,
            told(moment.answers(haul)).chain(expiries).collect(),
        )
    }

    /// Verifies the receipts that were answered before a moment.
    pub fn before(moment: &Moment, dev: &Dev, haul: &Haul) -> Self {
        Self::by(dev, moment, told(moment.answers(haul)).collect())
    }

    fn by(dev: &Dev, moment: &Moment, receipts: Vec<Value>) -> Self {
        let mut covered = Self::default();
        for line in verify(dev, &moment.folder, receipts) {
            for one in line["covers"].as_array().unwrap() {
                covered.add(one);
            }
        }
        covered
    }

    fn add(&mut self, one: &Value) {
        let text = |name: &str| one[name].as_str().map(str::to_owned);
        let version = one["version"].as_u64();
        if let Some(expiry) = one["expiry"].as_u64() {
            self.expiries.insert(expiry);
        } else if let Some(conversation) = text("conversation") {
            let generation = one["generation"].as_u64().unwrap();
            let key = (
                text("keyspace").unwrap(),
                version.unwrap(),
                generation,
                conversation,
            );
            self.keys.insert(key);
        } else {
            self.trees.insert((text("keyspace").unwrap(), version));
        }
    }

    /// By a shred, or by the end of its version or keyspace.
    pub fn is_shredded(&self, key: &Kept) -> bool {
        let (version, generation) = (key.header.version, key.header.generation);
        let version = u64::from(version.number());
        let id = &key.keyspace_id;
        let conversation = key.conversation.clone();
        self.keys.contains(&(
            id.clone(),
            version,
            generation.number().into(),
            conversation,
        )) || self.trees.contains(&(id.clone(), Some(version)))
            || self.trees.contains(&(id.clone(), None))
    }

    pub fn is_expired(&self, expiry: Expiry) -> bool {
        self.expiries.contains(&expiry.as_seconds())
    }
}

/// As the API answers, but for what is not looked at.
fn told(answers: &[Answered]) -> impl Iterator<Item = Value> {
    answers.iter().map(|answered| {
        let looked_at = |name: &str| ["receipt", "opening"].contains(&name);
        let mut shown = answered.answer.clone();
        shown
            .as_object_mut()
            .unwrap()
            .retain(|name, _| looked_at(name));
        shown
    })
}

fn is_expiry(receipt: &Value) -> bool {
    receipt["item"]["kind"] == "bucket_expiry"
}

/// Receipts out of the rows of a copy.
fn rebuilt(copy: &Path) -> Vec<Value> {
    program::lines("receipts.py", ["rebuild".into(), copy.into()])
}

/// What the API answered is what comes out of the rows, no more and no less.
fn agree(answers: &[Answered], rebuilt: &[Value]) {
    let requests = rebuilt.iter().filter(|receipt| !is_expiry(receipt));
    let by_id = |receipt: &Value| {
        (
            receipt["item"]["id"].as_str().unwrap().to_owned(),
            receipt.clone(),
        )
    };
    let mut rows: HashMap<String, Value> = requests.map(by_id).collect();
    let mut told = HashMap::new();
    for answered in answers {
        assert!(answered.is_destroyed(), "{answered:?}");
        told.insert(answered.id().to_owned(), answered.answer["receipt"].clone());
    }
    for (id, receipt) in told {
        assert_eq!(rows.remove(&id), Some(receipt), "{id}");
    }
    assert!(rows.is_empty(), "nobody asked for {rows:?}");
}

fn verify(dev: &Dev, folder: &Path, lines: Vec<Value>) -> Vec<Value> {
    if lines.is_empty() {
        return lines;
    }
    let receipts = folder.join("receipts.jsonl");
    program::write_lines(&receipts, &lines);
    let keys = dev.dir().join("pki/verify.pub");
    let words = [
        "verify".into(),
        "--keys".into(),
        keys.into(),
        receipts.into(),
        "--openings".into(),
    ];
    let answers = program::lines("receipts.py", words);
    assert_eq!(answers.len(), lines.len());
    answers
}

/// The command line verifies the same file, and none of it when a receipt was altered.
pub fn cli_agrees(dev: &Dev, moment: &Moment) {
    let file = moment.folder.join("receipts.jsonl");
    let verified = |file: &Path| {
        let mut command = lethe(&["receipt", "verify"]);
        command
            .arg(file)
            .arg("--dir")
            .arg(dev.dir())
            .output()
            .unwrap()
    };
    let output = verified(&file);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let lines = std::fs::read_to_string(&file).unwrap();
    let number = lines.lines().count();
    assert!(number > 500, "{number} receipts");
    let altered = lines.replacen("\"index\":0", "\"index\":1", 1);
    assert_ne!(altered, lines);
    std::fs::write(&file, altered).unwrap();
    assert!(!verified(&file).status.success());
}

/// The API lists the same expiries as the copy's rows.
pub async fn expiries_agree(dev: &Dev, moment: &Moment) {
    let mut listed = Vec::new();
    let (api, mut after) = (dev.api(Role::Auditor), 0);
    loop {
        let page = api
            .get(&format!("/v1/expiries?limit=2&after={after}"))
            .await
            .ok(200);
        let expiries = page["expiries"].as_array().unwrap();
        listed.extend(expiries.iter().map(|expiry| expiry["receipt"].clone()));
        let Some(next) = page["next"].as_u64() else {
            break;
        };
        after = next;
    }
    let rebuilt: Vec<Value> = rebuilt(&moment.folder)
        .into_iter()
        .filter(is_expiry)
        .collect();
    assert!(rebuilt.len() > 3, "{} expiries", rebuilt.len());
    // More may have expired since.
    assert_eq!(listed[..rebuilt.len()], rebuilt);
}
