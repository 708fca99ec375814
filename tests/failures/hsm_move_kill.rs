//! kill -9 at random moments of moves from one HSM to the other and back, while keys are issued and
//! conversations shredded: every receipt holds, every other key opens, and what the deployment has
//! left is empty.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Api, Dev, Role, lethe};
use lethe::node::verification_keys::VerificationKeys;
use lethe_core::receipt::Receipt;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// There and back, and on, until enough kills have met a move on its way.
const MOVES: RangeInclusive<usize> = 2..=12;
const BETWEEN: usize = 5;
/// The pauses between two grow: a move that is not done by then never is.
const KILLS: usize = 50;
const KEYSPACES: usize = 20;
const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const SHREDS: &str = "/v1/keyspaces/chat/shreds";

#[derive(Default)]
struct Known {
    /// Answers of issues for rooms that are never shredded.
    keys: Vec<Value>,
    /// Answers of issues, before their room was shredded.
    doomed: Vec<Value>,
    /// Rooms whose shred may have been accepted.
    shredded: Vec<String>,
    rooms: usize,
}

/// Does not outlive the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `lethe serve`; what it said when it did not get ready.
fn serve(dev: &Dev) -> Result<Serving, (Option<i32>, String)> {
    let log = dev.scratch().join("serve-log");
    let mut serving = Serving(
        lethe(&["serve", "--config"])
            .arg(dev.dir().join("lethe.toml"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    let mut output = BufReader::new(serving.0.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    if line.starts_with("lethe ready") {
        return Ok(serving);
    }
    let ended = serving.0.wait().unwrap();
    Err((ended.code(), std::fs::read_to_string(log).unwrap()))
}

fn serving(dev: &Dev) -> Serving {
    serve(dev).unwrap_or_else(|(code, said)| panic!("{code:?} {said}"))
}

/// Until the service dies.
async fn load(api: Api, known: Arc<Mutex<Known>>) {
    loop {
        let number = {
            let mut known = known.lock();
            known.rooms += 1;
            known.rooms
        };
        let kept = json!({ "conversation": format!("room {}", number % 7) });
        match api.sent(ISSUE, &kept).await {
            Some((201, key)) => known.lock().keys.push(key),
            Some(other) => panic!("{other:?}"),
            None => return,
        }
        let room = format!("gone {number}");
        let doomed = json!({ "conversation": room });
        match api.sent(ISSUE, &doomed).await {
            Some((201, key)) => known.lock().doomed.push(key),
            Some(other) => panic!("{other:?}"),
            None => return,
        }
        known.lock().shredded.push(room);
        match api.sent(SHREDS, &doomed).await {
            Some((200 | 202, _)) => {}
            Some(other) => panic!("{other:?}"),
            None => return,
        }
    }
}

async fn state(api: &Api) -> String {
    let told = api.get("/v1/hsm/moves").await.ok(200);
    told["state"].as_str().unwrap().to_owned()
}

/// Objects of ours that SoftHSM2 lists. A kill in the middle of a creation, which runs in the service's
/// process, may leave an object without label, id and value: nobody can tell whose it was.
fn softhsm_objects(dev: &Dev) -> usize {
    let listed = Command::new("pkcs11-tool")
        .args(["--module", "/usr/lib/softhsm/libsofthsm2.so"])
        .args(["--token-label", "lethe-dev", "--login", "--pin", "1234"])
        .arg("--list-objects")
        .env("SOFTHSM2_CONF", dev.dir().join("softhsm2.conf"))
        .output()
        .expect("OpenSC is not installed");
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success(), "{text}");
    text.matches("lethe/v1/").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_goes_on() {
    let mut dev = Dev::start();
    dev.make_keyspaces(KEYSPACES).await;
    dev.stop();
    dev.make_softhsm();
    dev.configure_softhsm("");
    let _device = dev.serve_device();
    let known: Arc<Mutex<Known>> = Arc::default();
    let (mut moves, mut between) = (0, 0);
    let mut service = serving(&dev);
    while moves < *MOVES.start() || between < BETWEEN {
        assert!(moves < *MOVES.end(), "{between} kills between the HSMs");
        // So that a move takes long enough to be killed in many places, on a fast machine in the end.
        let latency = (2 + moves).to_string();
        dev.hsm_sim(&["fault", "set", "latency-ms", &latency]);
        let (mut kills, mut longer) = (0, 0);
        loop {
            let operator = dev.api(Role::Operator);
            if state(&operator).await == "moved" {
                break;
            }
            assert!(kills < KILLS, "the move does not end");
            let load: Vec<_> = (0..2)
                .map(|_| tokio::spawn(load(dev.api(Role::MessageServer), Arc::clone(&known))))
                .collect();
            let ordered =
                tokio::spawn(async move { operator.sent("/v1/hsm/moves", &json!({})).await });
            let mut byte = [0];
            getrandom::fill(&mut byte).unwrap();
            let pause = 30 + u64::from(byte[0]) + longer;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // In the end it has the time for all that is left.
            longer = (longer + 60 + longer / 4).min(5_000);
            drop(service);
            kills += 1;
            for task in load {
                task.await.unwrap();
            }
            let _ = ordered.await;
            if moving_in(&dev).await {
                between += 1;
                refuses_half_of_it(&dev, between);
            }
            service = serving(&dev);
        }
        if moves % 2 == 0 {
            assert_eq!(dev.objects(), [], "the simulator is empty");
            assert!(softhsm_objects(&dev) > KEYSPACES);
        } else {
            assert_eq!(softhsm_objects(&dev), 0, "SoftHSM2 is empty");
            assert!(dev.objects().len() > KEYSPACES);
        }
        drop(service);
        dev.turn_hsms();
        service = serving(&dev);
        moves += 1;
    }
    dev.hsm_sim(&["fault", "clear", "latency-ms"]);
    let known = std::mem::take(&mut *known.lock());
    check(&dev, &known, moves).await;
    drop(service);
}

async fn moving_in(dev: &Dev) -> bool {
    let mut database = dev.database().await;
    let moving: i64 = sqlx::query_scalar("SELECT count(*) FROM hsm_move")
        .fetch_one(&mut database)
        .await
        .unwrap();
    moving == 1
}

/// With one HSM of the two, or with them exchanged, nothing starts and nothing is touched.
fn refuses_half_of_it(dev: &Dev, time: usize) {
    let path = dev.dir().join("lethe.toml");
    let right = std::fs::read_to_string(&path).unwrap();
    match time % 3 {
        0 => std::fs::copy(dev.dir().join("before.toml"), &path).map(drop),
        1 => std::fs::copy(dev.dir().join("next.toml"), &path).map(drop),
        _ => {
            dev.turn_hsms();
            Ok(())
        }
    }
    .unwrap();
    let (code, said) = serve(dev).err().unwrap();
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("a move to another HSM is under way"),
        "{said}"
    );
    std::fs::write(path, right).unwrap();
}

/// Every shred is done, and every key that none covers opens.
async fn check(dev: &Dev, known: &Known, moves: usize) {
    let api = dev.api(Role::MessageServer);
    let export = lethe(&["keys", "export", "--dir"])
        .arg(dev.dir())
        .arg("--server")
        .arg(format!("https://{}", dev.listen))
        .output()
        .unwrap();
    let keys: VerificationKeys = String::from_utf8(export.stdout).unwrap().parse().unwrap();
    assert_eq!(keys.named.len(), 2 + 2 * moves);
    let mut signers = HashSet::new();
    for room in &known.shredded {
        let answer = api.shred("chat", room).await.ok(200);
        let receipt = Receipt::from_json(&answer["receipt"].to_string()).unwrap();
        keys.verify(&receipt).unwrap();
        signers.insert(receipt.facts.signing_key);
    }
    assert_eq!(signers.len(), 1);
    let opened = async |key: &Value| {
        let (room, wrapped) = (key["conversation"].as_str(), key["wrapped_key"].as_str());
        api.unwrap("chat", room.unwrap(), wrapped.unwrap()).await
    };
    for key in &known.keys {
        assert_eq!(opened(key).await.ok(200)["data_key"], key["data_key"]);
    }
    let shredded: HashSet<&str> = known.shredded.iter().map(String::as_str).collect();
    for key in &known.doomed {
        if shredded.contains(key["conversation"].as_str().unwrap()) {
            assert_eq!(opened(key).await.code(), "shredded");
        }
    }
    assert!(
        known.keys.len() > 10 && shredded.len() > 10,
        "{} {}",
        known.keys.len(),
        shredded.len()
    );
}
