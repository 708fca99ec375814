//! The message server over HTTP, with keys in memory.

use crate::support::{MemoryKeys, Server};
use serde_json::{Value, json};

fn hello() -> Value {
    json!({"sender": "ann", "text": "a secret hello"})
}

#[tokio::test]
async fn stores_and_gives_back() {
    let keys = MemoryKeys::lasting();
    let server = Server::start(&keys).await;
    let mut first = hello();
    first["id"] = json!("m1");
    first["sent_at"] = json!("2018-04-10T18:02:17Z");
    let posted = server.post("r%201", first).await;
    assert_eq!(posted.status, 201);
    assert_eq!(
        posted.json,
        json!({"id": "m1", "sent_at": "2018-04-10T18:02:17.000Z", "position": 1})
    );
    let second = server.post("r%201", hello()).await;
    assert_eq!((second.status, &second.json["position"]), (201, &json!(2)));
    let empty = json!({"sender": "ann", "text": ""});
    assert_eq!(server.post("other", empty).await.status, 201);

    let all = server.get("/rooms/r%201/messages").await;
    assert_eq!(all.status, 200);
    assert_eq!(all.json["next"], 2);
    let messages = all.json["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(
        messages[0],
        json!({"id": "m1", "sent_at": "2018-04-10T18:02:17.000Z", "position": 1,
            "sender": "ann", "text": "a secret hello"})
    );
    let newer = server.get("/rooms/r%201/messages?since=1").await;
    assert_eq!(newer.json["messages"][0]["position"], 2);
    let none = server.get("/rooms/r%201/messages?since=2&limit=5").await;
    assert_eq!(none.json, json!({"messages": [], "next": 2}));
    let one = server.get("/rooms/r%201/messages?limit=1").await;
    assert_eq!(one.json["next"], 1);
}

#[tokio::test]
async fn expired_and_shredded_are_told_apart_and_every_row_stays() {
    let keys = MemoryKeys::lasting();
    let server = Server::start(&keys).await;
    for room in ["old", "gone"] {
        server.post(room, hello()).await;
    }
    let shred = server.send("DELETE", "/rooms/gone", None).await;
    assert_eq!(shred.status, 200);
    assert_eq!(shred.json["state"], "destroyed");
    assert_eq!(shred.json["receipt"], json!({"signed": true}));
    server.post("gone", hello()).await;

    let gone = server.get("/rooms/gone/messages").await.json;
    assert_eq!(gone["messages"][0]["state"], "shredded");
    assert_eq!(gone["messages"][0].get("text"), None);
    assert_eq!(gone["messages"][0].get("sender"), None);
    assert_eq!(
        gone["messages"][1]["text"], "a secret hello",
        "the room goes on"
    );

    keys.expire_all();
    let old = server.get("/rooms/old/messages").await.json;
    assert_eq!(old["messages"][0]["state"], "expired");
    assert_eq!(old["messages"][0].get("text"), None);
    assert_eq!(old["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn neither_text_nor_sender_is_on_the_disk_and_a_key_stands_there_once() {
    let keys = MemoryKeys::lasting();
    let server = Server::start(&keys).await;
    for _ in 0..20 {
        assert_eq!(server.post("r", hello()).await.status, 201);
    }
    // The key's bucket may end in between; never more often than keys were issued.
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(server.dir.path()).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let count = |needle: &[u8]| {
        bytes
            .windows(needle.len())
            .filter(|at| *at == needle)
            .count()
    };
    assert_eq!(count(b"a secret hello"), 0);
    assert_eq!(count(b"ann"), 0);
    assert!(keys.issues() <= 2);
    let database = format!("sqlite:{}/messages.db", server.dir.path().display());
    let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
    let rows: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM wrapped_key)")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(rows, (20, keys.issues() as i64));
}

#[tokio::test]
async fn many_at_once_are_all_stored_once() {
    let server = std::sync::Arc::new(Server::start(&MemoryKeys::lasting()).await);
    let mut posts = tokio::task::JoinSet::new();
    for id in 0..200 {
        let server = std::sync::Arc::clone(&server);
        posts.spawn(async move {
            let body = json!({"sender": "ann", "text": "hi", "id": (id / 2).to_string()});
            server.post("r", body).await.status
        });
    }
    let mut statuses = posts.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201; 100], vec![409; 100]].concat());
    let all = server.get("/rooms/r/messages?limit=1000").await.json;
    assert_eq!(all["messages"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn bad_input() {
    let server = Server::start(&MemoryKeys::lasting()).await;
    server
        .post("r", json!({"sender": "ann", "text": "hi", "id": "m"}))
        .await;
    let long = "x".repeat((32 << 10) + 1);
    let with = |name: &str, value: Value| {
        let mut body = hello();
        body[name] = value;
        body.to_string()
    };
    let path = "/rooms/r/messages";
    for (body, expected) in [
        (String::new(), (400, "invalid_request")),
        ("{".into(), (400, "invalid_request")),
        ("[]".into(), (400, "invalid_request")),
        ("{\"sender\": \"ann\"}".into(), (400, "invalid_request")),
        (with("text", json!(7)), (400, "invalid_request")),
        (with("sender", json!("")), (400, "invalid_request")),
        (with("colour", json!("red")), (400, "invalid_request")),
        (with("id", json!("")), (400, "invalid_request")),
        (with("id", json!("a\nb")), (400, "invalid_request")),
        (
            with("sent_at", json!("yesterday")),
            (400, "invalid_request"),
        ),
        (with("id", json!("m")), (409, "conflict")),
        (with("text", json!(long)), (413, "too_large")),
        (with("sender", json!("x".repeat(257))), (413, "too_large")),
        (
            with("text", json!("x".repeat(300 << 10))),
            (413, "too_large"),
        ),
    ] {
        let answer = server.send("POST", path, Some(&body)).await;
        assert_eq!(
            answer.problem(),
            expected,
            "{}",
            &body[..body.len().min(60)]
        );
    }
    let untyped = server.send("POST", path, None).await;
    assert_eq!(untyped.problem(), (415, "unsupported_media_type"));
    for (method, path, expected) in [
        ("GET", "/rooms/nobody/messages", (404, "unknown_room")),
        ("DELETE", "/rooms/nobody", (404, "unknown_room")),
        ("GET", "/nothing", (404, "not_found")),
        ("PUT", "/rooms/r/messages", (405, "method_not_allowed")),
        ("GET", "/rooms/a%00b/messages", (400, "invalid_request")),
        ("GET", "/rooms/%ff/messages", (400, "invalid_request")),
        ("GET", "/rooms/r/messages?limit=0", (400, "invalid_request")),
        (
            "GET",
            "/rooms/r/messages?limit=1001",
            (400, "invalid_request"),
        ),
        (
            "GET",
            "/rooms/r/messages?since=-1",
            (400, "invalid_request"),
        ),
        ("GET", "/rooms/r/messages?since=x", (400, "invalid_request")),
        (
            "GET",
            "/rooms/r/messages?before=1",
            (400, "invalid_request"),
        ),
    ] {
        let answer = server.send(method, path, None).await;
        assert_eq!(answer.problem(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn without_keys_nothing_is_stored_or_shown() {
    let keys = MemoryKeys::lasting();
    let server = Server::start(&keys).await;
    server.post("r", hello()).await;
    keys.set_down(true);
    let read = server.get("/rooms/r/messages").await;
    assert_eq!(read.problem(), (503, "keys_unavailable"));
    assert_eq!(read.retry_after.as_deref(), Some("1"));
    let post = server.post("new", hello()).await;
    assert_eq!(post.problem(), (503, "keys_unavailable"));
    keys.set_down(false);
    assert_eq!(server.get("/rooms/new/messages").await.status, 404);
    assert_eq!(server.get("/rooms/r/messages").await.status, 200);
}

#[tokio::test]
async fn a_shred_that_failed_is_sent_again_with_the_same_id() {
    let keys = MemoryKeys::lasting();
    let server = Server::start(&keys).await;
    server.post("r", hello()).await;
    keys.set_down(true);
    let shred = server.send("DELETE", "/rooms/r", None).await;
    assert_eq!(shred.problem(), (503, "keys_unavailable"));
    keys.set_down(false);
    assert_eq!(server.chat.resume_shreds().await.unwrap(), 1);
    assert_eq!(
        server.chat.resume_shreds().await.unwrap(),
        0,
        "its receipt is kept"
    );
    let sent = keys.shreds();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
    let read = server.get("/rooms/r/messages").await.json;
    assert_eq!(read["messages"][0]["state"], "shredded");
}

#[tokio::test]
async fn a_shred_that_waits_for_a_second_operator_holds_up_no_other() {
    let keys = MemoryKeys::lasting();
    let server = Server::start(&keys).await;
    for room in ["a", "b"] {
        server.post(room, hello()).await;
    }
    keys.set_waits(Some("a"));
    let waits = server.send("DELETE", "/rooms/a", None).await;
    assert_eq!(
        (waits.status, &waits.json["state"]),
        (202, &"approval_required".into())
    );
    keys.set_down(true);
    server.send("DELETE", "/rooms/b", None).await;
    keys.set_down(false);
    let state = async |room: &str| {
        let path = format!("/rooms/{room}/messages");
        server.get(&path).await.json["messages"][0]["state"].clone()
    };
    assert_eq!(server.chat.resume_shreds().await.unwrap(), 2);
    assert_eq!(
        (state("a").await, state("b").await),
        (Value::Null, "shredded".into())
    );
    keys.set_waits(None);
    assert_eq!(server.chat.resume_shreds().await.unwrap(), 1);
    assert_eq!(state("a").await, "shredded");
}
