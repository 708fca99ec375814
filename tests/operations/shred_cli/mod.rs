//! `lethe shred`, `keyspace erase|drop-version` and `rotate` against a scripted service: ids are
//! kept before anything is sent, and come again until all is destroyed.

mod answers;
mod command;
mod lists;

use crate::scripted::{Asked, Say, Service};
use answers::{accepted, accepts, destroyed, destroys, keyspace, sent, status};
use command::{err, lines, out, run};
use serde_json::{Value, json};

const ID: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";

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
    let printed = lines(&out(&output));
    let mut expected = destroyed(&json!(ID));
    expected["conversation"] = json!("b");
    assert_eq!(printed, [expected]);
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
        format!("lethe: forbidden: no; 0 of 2 destroyed; to run it again, add {ids}\n")
    );
    let words = format!("shred chat a b {ids}");
    let output = run(&service, &words.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(sent_ids(&service.asked()[1]), ids);
    assert!(err(&output).starts_with(
        "lethe: a was not shredded: conflict: 65,536 is the end; 1 of 2 destroyed; to run it again"
    ));
    assert_eq!(err(&output).lines().count(), 1);
    assert_eq!(out(&output).lines().count(), 1);

    for words in [
        &["shred", "chat"][..],
        &["shred", "chat", "a", "b", "--id", ID],
        &["shred", "chat", "a", "--id", "7"],
        &["shred", "chat", "a", "--in", "x"],
        &["shred", "chat", ""],
        &["shred", "chat", "\"room 1\""],
        &["shred", "chat", "a", "[\"b\"]"],
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
    let printed = lines(&out(&output));
    assert_eq!(printed[0]["state"], "destroyed");
    assert!(printed[0]["opening"].is_object(), "from the first answer");
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
        .rsplit_once("to run it again, add --id ")
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
