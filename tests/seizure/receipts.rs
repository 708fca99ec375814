//! What receipts cover, by the independent program; and who else must agree with it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lethe_core::time::Expiry;
use serde_json::{Value, json};

use crate::haul::{Answered, Haul, Kept};
use crate::moment::Moment;
use crate::program;
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
    /// Verifies every receipt there is at a moment, those of expiries from the copy's own rows.
    pub fn at(moment: &Moment, dev: &Dev, haul: &Haul) -> Self {
        let rebuilt = rebuilt(&moment.folder);
        let answers = moment.answers(haul);
        agree(answers, &rebuilt);
        let expiries = rebuilt.into_iter().filter(is_expiry);
        let expiries = expiries.map(|receipt| json!({ "receipt": receipt }));
        let shreds = answers.iter().map(|answered| {
            json!({ "receipt": answered.answer["receipt"], "opening": answered.answer.get("opening") })
        });
        let mut covered = Self::default();
        for line in verify(dev, &moment.folder, shreds.chain(expiries).collect()) {
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
            let key = (text("keyspace").unwrap(), version.unwrap(), generation, conversation);
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
        self.keys.contains(&(id.clone(), version, generation.number().into(), conversation))
            || self.trees.contains(&(id.clone(), Some(version)))
            || self.trees.contains(&(id.clone(), None))
    }

    pub fn is_expired(&self, expiry: Expiry) -> bool {
        self.expiries.contains(&expiry.as_seconds())
    }
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
    let by_id = |receipt: &Value| (receipt["item"]["id"].as_str().unwrap().to_owned(), receipt.clone());
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
    let words = ["verify".into(), "--keys".into(), keys.into(), receipts.into(), "--openings".into()];
    let answers = program::lines("receipts.py", words);
    assert_eq!(answers.len(), lines.len());
    answers
}

/// The command line verifies a receipt of each kind, and one that was altered not.
pub fn cli_agrees(dev: &Dev, haul: &Haul) {
    if !lethe(&["receipt", "verify", "--help"]).output().unwrap().status.success() {
        println!("no `lethe receipt verify` yet");
        return;
    }
    let verifies = |receipt: &Value| {
        let file = dev.scratch().join("receipt.json");
        std::fs::write(&file, receipt.to_string()).unwrap();
        let mut command = lethe(&["receipt", "verify"]);
        let output = command.arg(file).arg("--dir").arg(dev.dir()).output().unwrap();
        output.status.success()
    };
    for answered in haul.answers.iter().step_by(1 + haul.answers.len() / 50) {
        let receipt = &answered.answer["receipt"];
        assert!(verifies(receipt), "{receipt}");
        let mut altered = receipt.clone();
        altered["sequence"] = json!(altered["sequence"].as_u64().unwrap() + 1);
        assert!(!verifies(&altered), "{altered}");
    }
}

/// The API lists the same expiries as the copy's rows.
pub async fn expiries_agree(dev: &Dev, moment: &Moment) {
    let mut listed = Vec::new();
    let (api, mut after) = (dev.api(Role::Auditor), 0);
    loop {
        let page = api.get(&format!("/v1/expiries?limit=2&after={after}")).await.ok(200);
        let expiries = page["expiries"].as_array().unwrap();
        listed.extend(expiries.iter().map(|expiry| expiry["receipt"].clone()));
        let Some(next) = page["next"].as_u64() else {
            break;
        };
        after = next;
    }
    let rebuilt: Vec<Value> = rebuilt(&moment.folder).into_iter().filter(is_expiry).collect();
    assert!(rebuilt.len() > 3, "{} expiries", rebuilt.len());
    // More may have expired since.
    assert_eq!(listed[..rebuilt.len()], rebuilt);
}
