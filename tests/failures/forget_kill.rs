//! kill -9 at random moments, many times, while keys are issued and conversations shredded. At the
//! end every receipt holds, and every key that none covers opens (`docs/design.md#p1`, `docs/design.md#p2`).

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::support::shreds::shredded_keys;
use crate::support::{Api, Dev, Role, eventually};
use lethe::node::verification_keys::VerificationKeys;
use lethe_core::receipt::Receipt;
use lethe_core::wrapped_key::WrappedKey;
use parking_lot::Mutex;
use serde_json::{Value, json};

const KILLS: u32 = 200;
const ROOMS: u8 = 30;
const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const SHREDS: &str = "/v1/keyspaces/chat/shreds";

/// What clients know.
#[derive(Default)]
struct Known {
    /// Answers of issues.
    keys: Vec<Value>,
    /// Id and room, kept before they are sent.
    shreds: Vec<(String, String)>,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn uuid() -> String {
    let hex = random::<16>().map(|byte| format!("{byte:02x}")).concat();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// Issues and shreds until the service dies.
async fn load(api: Api, known: Arc<Mutex<Known>>) {
    loop {
        let [what, number] = random();
        let room = format!("room {}", number % ROOMS);
        // Every third room is never shredded.
        let done = if what < 64 && !(number % ROOMS).is_multiple_of(3) {
            let id = uuid();
            known.lock().shreds.push((id.clone(), room.clone()));
            let body = json!({ "conversation": room, "id": id });
            api.sent(SHREDS, &body).await
        } else {
            let issued = api.sent(ISSUE, &json!({ "conversation": room })).await;
            if let Some((201, key)) = &issued {
                known.lock().keys.push(key.clone());
            }
            issued
        };
        match done {
            None => return,
            Some((status, body)) => {
                assert!([200, 201, 202, 503].contains(&status), "{status} {body}")
            }
        }
    }
}

/// Does not outlive the test.
struct Serving(Child);

impl Serving {
    fn kill(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
    }
}

fn serve(dev: &Dev) -> Serving {
    let mut command = crate::support::lethe(&["serve", "--config"]);
    let log = std::fs::File::create(dev.scratch().join("serve-log")).unwrap();
    let mut serving = Serving(
        command
            .arg(dev.dir().join("lethe.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    let mut output = BufReader::new(serving.0.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let said = std::fs::read_to_string(dev.scratch().join("serve-log")).unwrap();
    assert!(line.starts_with("lethe ready"), "{line}{said}");
    serving
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_holds_and_every_other_key_opens_after_many_kills() {
    let mut dev = Dev::start();
    dev.stop();
    let _device = dev.serve_device();
    let known: Arc<Mutex<Known>> = Arc::default();
    let mut service = serve(&dev);
    for kill in 0..KILLS {
        let load: Vec<_> = (0..3)
            .map(|_| tokio::spawn(load(dev.api(Role::MessageServer), Arc::clone(&known))))
            .collect();
        // Mostly within the first batches, sometimes far into the load.
        let [long] = random();
        let pause = if kill % 8 == 0 { 500 } else { u64::from(long) };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        service.kill();
        for task in load {
            task.await.unwrap();
        }
        service = serve(&dev);
    }
    let known = std::mem::take(&mut *known.lock());
    let api = dev.api(Role::MessageServer);
    let covered = settle(&api, &dev, &known).await;
    check_keys(&api, &known, &covered).await;
    eventually("one root is left", async || {
        let objects = dev.objects();
        let roots = objects.iter().filter(|(label, _)| label.contains("/root/"));
        roots.count() == 1
    })
    .await;
}

/// Sends every shred again under its id, until it is done; gives what all of them cover.
async fn settle(api: &Api, dev: &Dev, known: &Known) -> HashSet<(String, u64)> {
    let text = std::fs::read_to_string(dev.dir().join("pki/verify.pub")).unwrap();
    let keys: VerificationKeys = text.parse().unwrap();
    let mut covered = HashSet::new();
    let mut receipts = HashMap::new();
    for (id, room) in &known.shreds {
        let mut answer = api.shred_as("chat", room, id).await;
        while answer.status == 202 {
            answer = api.shred_as("chat", room, id).await;
        }
        let answer = answer.ok(200);
        let receipt = Receipt::from_json(&answer["receipt"].to_string()).unwrap();
        keys.verify(&receipt).unwrap();
        for (version, generation) in shredded_keys(&answer) {
            assert_eq!(version, 1);
            covered.insert((room.clone(), generation));
        }
        receipts.insert(id, receipt);
    }
    assert!(receipts.len() > 100, "{} shreds", receipts.len());
    covered
}

async fn check_keys(api: &Api, known: &Known, covered: &HashSet<(String, u64)>) {
    let (mut living, mut dead) = (0, 0);
    for some in known.keys.chunks(1_000) {
        let item = |key: &Value| json!({ "conversation": key["conversation"], "wrapped_key": key["wrapped_key"] });
        let items: Vec<Value> = some.iter().map(item).collect();
        let path = format!("{ISSUE}/unwrap");
        let opened = api.post(&path, &json!({ "items": items })).await.ok(200);
        for (key, opened) in some.iter().zip(opened["items"].as_array().unwrap()) {
            let wrapped: WrappedKey = key["wrapped_key"].as_str().unwrap().parse().unwrap();
            let room = key["conversation"].as_str().unwrap().to_owned();
            let generation = u64::from(wrapped.header().generation.number());
            if covered.contains(&(room, generation)) {
                assert_eq!(opened["error"]["code"], "shredded", "{key}");
                dead += 1;
            } else {
                assert_eq!(opened["data_key"], key["data_key"], "{opened} {key}");
                living += 1;
            }
        }
    }
    assert!(living > 10 && dead > 100, "{living} living, {dead} dead");
}
