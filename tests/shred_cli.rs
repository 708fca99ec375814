//! `lethe shred`, `keyspace erase|drop-version` and `rotate` against a scripted service: ids are
//! kept before anything is sent, and come again until all is destroyed.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../client/tests/support/mod.rs"]
mod scripted;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use scripted::{Asked, Say, Service, Who};
use serde_json::{Value, json};

const ID: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";

fn lethe(service: &Service, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command
        .args(words)
        .args(["--server", &service.address])
        .arg("--ca")
        .arg(service.pki.ca())
        .arg("--cert")
        .arg(service.pki.certificate(Who::Known))
        .arg("--key")
        .arg(service.pki.key(Who::Known))
        .stdin(Stdio::null());
    command
}

async fn run(service: &Service, words: &[&str]) -> Output {
    let mut command = lethe(service, words);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn keyspace() -> Say {
    Say::Json(
        200,
        json!({"name": "chat", "retention": "72h", "granularity": "1h", "rotation": "30d",
            "cache_ttl": "5m", "versions": [{"version": 1}, {"version": 2}], "live_buckets": 3}),
    )
}

fn destroyed(id: &Value) -> Value {
    json!({"id": id, "state": "destroyed", "accepted_at": "2026-01-01T00:00:00.000Z",
        "destroyed_at": "2026-01-01T00:00:00.012Z", "leases_end_at": "2026-01-01T00:05:00.000Z",
        "receipt": {"of": id}, "opening": {"salt": id}})
}

fn accepted(id: &Value) -> Value {
    json!({"id": id, "state": "accepted", "accepted_at": "2026-01-01T00:00:00.000Z",
        "opening": {"salt": id}})
}

fn each(asked: &Asked, answer: fn(&Value) -> Value) -> (u16, Value) {
    let items = asked.body["items"].as_array().unwrap().iter();
    let items: Vec<_> = items.map(|item| answer(&item["id"])).collect();
    (200, json!({ "items": items }))
}

/// Destroys all of a batch.
fn destroys() -> Say {
    Say::With(|asked| each(asked, destroyed))
}

/// Accepts all of a batch.
fn accepts() -> Say {
    Say::With(|asked| each(asked, accepted))
}

/// Answers a question after a shred: by its id alone the opening is not known.
fn status() -> Say {
    Say::With(|asked| {
        let id = asked.line.rsplit('/').next().unwrap();
        let mut answer = destroyed(&json!(id));
        answer.as_object_mut().unwrap().remove("opening");
        (200, answer)
    })
}

/// Ids and conversations of a call.
fn sent(asked: &Asked) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = asked.body["items"].as_array().unwrap().iter();
    items
        .map(|item| (text(&item["id"]), text(&item["conversation"])))
        .collect()
}

fn kept(state: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = lines(&std::fs::read_to_string(state).unwrap());
    lines[1..]
        .iter()
        .map(|line| (text(&line["id"]), text(&line["conversation"])))
        .collect()
}

struct List(tempfile::TempDir);

impl List {
    fn of(text: &str) -> Self {
        let list = Self(tempfile::tempdir().unwrap());
        std::fs::write(list.path("list"), text).unwrap();
        list
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn state(&self) -> std::path::PathBuf {
        self.0.path().join("list.shreds.jsonl")
    }

    fn words<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["shred", "chat", "--in", file], more].concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_of_the_command_line() {
    let service = Service::saying([destroys(), destroys()]).await;
    let output = run(&service, &["shred", "chat", "room 1", "b", "room 1"]).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(err(&output), "");
    let asked = service.asked();
    let sent = sent(&asked[0]);
    assert_eq!(asked[0].line, "POST /v1/keyspaces/chat/shreds");
    assert_eq!(sent.len(), 2);
    let line = |n: usize| {
        format!(
            "destroyed  2026-01-01T00:00:00.012Z  {}  {}\n",
            sent[n].0, sent[n].1
        )
    };
    assert_eq!(out(&output), line(0) + &line(1));

    let words = ["shred", "chat", "b", "--id", ID, "--output", "json"];
    let output = run(&service, &words).await;
    let told = lines(&out(&output));
    let mut expected = destroyed(&json!(ID));
    expected["conversation"] = json!("b");
    assert_eq!(told, [expected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_told_when_it_fails_without_a_file() {
    let service = Service::saying([
        Say::Json(403, json!({"code": "forbidden", "detail": "no"})),
        Say::With(|asked| {
            let item = json!({"error": {"code": "conflict", "detail": "65,536 is the end"}});
            let done = destroyed(&asked.body["items"][1]["id"]);
            (200, json!({ "items": [item, done] }))
        }),
    ])
    .await;
    let output = run(&service, &["shred", "chat", "a", "b"]).await;
    assert_eq!(output.status.code(), Some(1));
    let sent_ids = |asked: &Asked| {
        let ids = sent(asked).into_iter().map(|(id, _)| format!("--id {id}"));
        ids.collect::<Vec<_>>().join(" ")
    };
    let ids = sent_ids(&service.asked()[0]);
    assert_eq!(
        err(&output),
        format!("lethe: forbidden: no; 0 of 2 destroyed; to repeat it, add {ids}\n")
    );
    let words = format!("shred chat a b {ids}");
    let output = run(&service, &words.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(sent_ids(&service.asked()[1]), ids);
    assert!(err(&output).starts_with(
        "lethe: a is not shredded: conflict: 65,536 is the end; 1 of 2 destroyed; to repeat"
    ));
    assert_eq!(err(&output).lines().count(), 1);
    assert_eq!(out(&output).lines().count(), 1);

    for words in [
        &["shred", "chat"][..],
        &["shred", "chat", "a", "b", "--id", ID],
        &["shred", "chat", "a", "--id", "7"],
        &["shred", "chat", "a", "--in", "x"],
        &["shred", "chat", ""],
        &["shred", "Chat", "a"],
        &["shred", "chat", "--in", "-"],
        &["shred", "chat", "--in", "/nowhere/list"],
    ] {
        let output = run(&service, words).await;
        assert!(!output.status.success(), "{words:?}");
        assert!(!err(&output).contains("panicked"), "{}", err(&output));
    }
    assert_eq!(service.asked().len(), 2);
}

/// Killed while the service thinks: the ids were kept before they were sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_after_a_kill_sends_the_same_ids() {
    let service =
        Service::saying([keyspace(), Say::Hang, destroys(), keyspace(), destroys()]).await;
    let list = List::of("a\nb\n");
    let file = list.path("list");
    let mut child = lethe(&service, &List::words(&file, &[])).spawn().unwrap();
    while service.asked().len() < 2 {
        assert!(child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = kept(&list.state());
    assert_eq!(sent(&service.asked()[1]), kept);
    let mode = std::fs::metadata(list.state()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "it names conversations");

    let second = run(&service, &List::words(&file, &[])).await;
    assert!(err(&second).contains("another run is at work"));
    child.kill().unwrap();
    child.wait().unwrap();

    let output = run(&service, &List::words(&file, &[])).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(sent(&service.asked()[2]), kept);
    assert_eq!(out(&output).lines().count(), 2);
    assert!(!list.state().exists(), "nothing is left to repeat");

    // Asked for again it is another wish.
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_ne!(sent(&service.asked()[4]), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_told_by_number_and_the_rest_is_done() {
    let service = Service::saying([keyspace(), destroys(), destroys()]).await;
    let list = List::of("a\n b\n{\"conversation\":\"c\"}\n\n{\"conversation\":7}\n");
    let file = list.path("list");
    let receipts = list.path("receipts");
    let words = List::words(&file, &["--output", "json", "--receipts", &receipts]);
    let output = run(&service, &words).await;
    assert_eq!(output.status.code(), Some(1));
    let errors = err(&output);
    let errors: Vec<_> = errors.lines().collect();
    assert!(errors[0].starts_with(&format!("lethe: {file}:2: it begins or ends")));
    assert!(errors[1].starts_with(&format!("lethe: {file}:5: it is not")));
    assert!(errors[2].starts_with("lethe: 2 lines cannot be read; 2 of 2 destroyed; run it again"));
    assert_eq!(errors.len(), 3);
    let told = lines(&out(&output));
    assert_eq!(told[0]["line"], 2);
    assert_eq!(told[1]["error"]["code"], "invalid_request");
    assert_eq!(told[2]["conversation"], "a");
    assert_eq!(told[3]["receipt"]["of"], told[3]["id"]);
    assert_eq!(
        lines(&std::fs::read_to_string(&receipts).unwrap()),
        told[2..]
    );

    // Put right in its place: the others are not shredded a second time.
    let before = sent(&service.asked()[1]);
    std::fs::write(&file, "a\nb\n{\"conversation\":\"c\"}\n\nd\n").unwrap();
    let output = run(&service, &List::words(&file, &["--receipts", &receipts])).await;
    assert!(output.status.success(), "{}", err(&output));
    let after = sent(&service.asked()[2]);
    assert_eq!([&after[0], &after[2]], [&before[0], &before[1]]);
    let conversations: Vec<_> = after.iter().map(|(_, c)| c.as_str()).collect();
    assert_eq!(conversations, ["a", "b", "c", "d"]);
    assert_eq!(
        std::fs::read_to_string(&receipts).unwrap().lines().count(),
        4
    );
    let mode = std::fs::metadata(&receipts).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "openings tell conversations");
    let words = List::words(&file, &["--receipts", &receipts]);
    let output = run(&service, &words).await;
    assert!(
        err(&output).contains("is there already"),
        "{}",
        err(&output)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_name_leaves_no_file_and_an_unfinished_one_is_not_thrown_away() {
    let unknown = || {
        Say::Json(
            404,
            json!({"code": "unknown_keyspace", "detail": "no such"}),
        )
    };
    let forbidden = Say::Json(403, json!({"code": "forbidden", "detail": "no"}));
    let service = Service::saying([unknown(), keyspace(), forbidden, keyspace()]).await;
    let list = List::of("a\nb\n");
    let file = list.path("list");
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("unknown_keyspace"));
    assert!(!list.state().exists());
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("0 of 2 destroyed; run it again to go on"));
    assert!(list.state().exists());
    std::fs::write(&file, "b\n").unwrap();
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("unfinished"), "{}", err(&output));
    assert_eq!(service.asked().len(), 3);
    std::fs::write(&file, "\n").unwrap();
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("names no conversation"));
    let nowhere = ["shred", "chat", "a", "--state", "/nowhere/state"];
    let output = run(&service, &nowhere).await;
    assert!(err(&output).contains("/nowhere/state: No such file"));
    let asked = service.asked();
    assert_eq!(asked.last().unwrap().line, "GET /v1/keyspaces/chat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_is_followed_unless_told_otherwise() {
    let still = Say::With(|asked| {
        let id = asked.line.rsplit('/').next().unwrap();
        (200, accepted(&json!(id)))
    });
    let service = Service::saying([accepts(), still, status(), keyspace(), accepts()]).await;
    let words = ["shred", "chat", "a", "--output", "json"];
    let output = run(&service, &words).await;
    assert!(output.status.success(), "{}", err(&output));
    let told = lines(&out(&output));
    assert_eq!(told[0]["state"], "destroyed");
    assert!(told[0]["opening"].is_object(), "told when it was accepted");
    let asked = service.asked();
    let location = format!("GET /v1/keyspaces/chat/shreds/{}", sent(&asked[0])[0].0);
    assert_eq!([&asked[1].line, &asked[2].line], [&location, &location]);
    assert_eq!(asked[0].headers.get("prefer"), None);

    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let words = ["shred", "chat", "a", "--no-wait", "--state"];
    let words = [&words[..], &[state.to_str().unwrap()]].concat();
    let output = run(&service, &words).await;
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).starts_with("accepted   2026-01-01T00:00:00.000Z"));
    assert_eq!(service.asked()[4].headers["prefer"], "respond-async");
    assert!(!state.exists(), "what is accepted is never taken back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_go_in_batches_and_stop_at_an_error_of_the_service() {
    let text: String = (0..2_500).map(|n| format!("c{n}\n")).collect();
    let list = List::of(&text);
    let file = list.path("list");
    let all_but_the_second = || {
        Say::With(|asked| match sent(asked)[0].1.as_str() {
            "c1000" => (403, json!({"code": "forbidden", "detail": "no"})),
            _ => each(asked, destroyed),
        })
    };
    let replies = std::iter::repeat_with(all_but_the_second).take(3);
    let service = Service::saying([keyspace()].into_iter().chain(replies)).await;
    let output = run(&service, &List::words(&file, &[])).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output).lines().count(), 1_000);
    let error = "lethe: forbidden: no; 1000 of 2500 destroyed; run it again to go on";
    assert!(err(&output).starts_with(error), "{}", err(&output));
    let kept = kept(&list.state());

    let service = Service::saying([destroys(), destroys(), destroys()]).await;
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(out(&output).lines().count(), 2_500);
    let mut sent: Vec<_> = service.asked().iter().flat_map(sent).collect();
    // Two calls are on their way at once.
    sent.sort();
    assert_eq!(sent, kept, "ids are in order of time");
    assert!(!list.state().exists());
}

/// Of an order without a body.
fn ordered(asked: &Asked) -> Value {
    json!(asked.line.split_once("?id=").unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasures_want_a_word_and_are_followed() {
    let service = Service::saying([
        Say::With(|asked| (202, accepted(&ordered(asked)))),
        status(),
        Say::With(|asked| (200, destroyed(&ordered(asked)))),
        Say::With(|asked| (202, accepted(&ordered(asked)))),
        Say::Json(
            409,
            json!({"code": "conflict", "detail": "the newest version"}),
        ),
        Say::Text(500, "<html>"),
        Say::With(|asked| (200, destroyed(&ordered(asked)))),
    ])
    .await;
    for words in [
        &["keyspace", "erase", "chat"][..],
        &["keyspace", "drop-version", "chat", "1"],
    ] {
        let output = run(&service, words).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("gone for good: say --yes"));
    }
    assert_eq!(service.asked().len(), 0);

    let erase = ["keyspace", "erase", "chat", "--yes"];
    let drop = ["keyspace", "drop-version", "chat", "3", "--yes"];
    let with = |words: &[&'static str], more: &[&'static str]| [words, more].concat();
    let output = run(&service, &with(&erase, &["--id", ID])).await;
    assert!(output.status.success(), "{}", err(&output));
    let line = format!("destroyed  2026-01-01T00:00:00.012Z  {ID}  keyspace chat\n");
    assert_eq!(out(&output), line);
    let output = run(&service, &with(&drop, &["--output", "json", "--id", ID])).await;
    assert_eq!(lines(&out(&output)), [destroyed(&json!(ID))]);
    let output = run(&service, &with(&drop, &["--no-wait"])).await;
    assert!(out(&output).starts_with("accepted "));
    let output = run(&service, &drop).await;
    assert_eq!(err(&output), "lethe: conflict: the newest version\n");
    let output = run(&service, &erase).await;
    assert_eq!(output.status.code(), Some(1));
    let error = err(&output);
    let (_, id) = error
        .trim_end()
        .rsplit_once("to repeat it, add --id ")
        .unwrap();
    let output = run(&service, &[&erase[..], &["--id", id]].concat()).await;
    assert!(output.status.success(), "{}", err(&output));

    let asked = service.asked();
    assert_eq!(asked[0].line, format!("DELETE /v1/keyspaces/chat?id={ID}"));
    assert_eq!(asked[1].line, format!("GET /v1/keyspaces/chat/shreds/{ID}"));
    let line = format!("DELETE /v1/keyspaces/chat/versions/3?id={ID}");
    assert_eq!(asked[2].line, line);
    assert_eq!(asked[5].line, asked[6].line, "the same order");
    assert_eq!(asked.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations() {
    let service = Service::saying([keyspace(), Say::Json(200, json!({"sequence": 8}))]).await;
    let output = run(&service, &["rotate", "keyspace", "chat"]).await;
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("versions"), "{}", out(&output));
    let output = run(&service, &["rotate", "root", "--output", "json"]).await;
    assert_eq!(lines(&out(&output)), [json!({"sequence": 8})]);
    let asked = service.asked();
    assert_eq!(asked[0].line, "POST /v1/keyspaces/chat/versions");
    assert_eq!(asked[1].line, "POST /v1/root/rotations");
}
