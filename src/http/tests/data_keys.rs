//! What goes round, and wrapped keys that are not these.

use serde_json::{Value, json};

use super::world::{Client, Reply, World, refused};

const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const UNWRAP: &str = "/v1/keyspaces/chat/data-keys/unwrap";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[tokio::test]
async fn a_data_key_goes_round_and_nothing_of_it_is_written_down() {
    let world = World::open().await;
    let client = world.client("message-server");
    let issued = client.issue("chat", "private-room-7").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    assert!(wrapped.starts_with("lethe:v1:"));
    for _ in 0..2 {
        let opened = client.unwrap("chat", "private-room-7", wrapped).await;
        let opened = opened.ok(200);
        for field in ["conversation", "data_key", "version", "expires_at"] {
            assert_eq!(opened[field], issued[field], "{field}");
        }
    }
    assert_eq!(issued["data_key"].as_str().unwrap().len(), 44);
    let again = client.issue("chat", "private-room-7").await.ok(201);
    assert_ne!(again["data_key"], issued["data_key"]);

    let body = json!({ "conversation": "private-room-7", "plaintext": false });
    let sealed = client.post(ISSUE, &body).await.ok(201);
    assert_eq!(sealed.get("data_key"), None);
    let wrapped = sealed["wrapped_key"].as_str().unwrap();
    let opened = client.unwrap("chat", "private-room-7", wrapped).await;
    opened.ok(200);

    // `docs/design.md#p3`, `docs/design.md#p4`.
    assert!(world.process.audit().contains("\"operation\":\"issue\""));
    let read = |name: &str| std::fs::read(world.process.folder().join(name)).unwrap_or_default();
    for bytes in [read("lethe.db"), read("lethe.db-wal")] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("private-room-7"));
    }
    assert!(!world.process.audit().contains("private-room-7"));
}

#[tokio::test]
async fn each_item_of_a_batch_has_an_answer_of_its_own() {
    let world = World::open().await;
    let client = world.client("message-server");
    let bad = 700;
    let mut items: Vec<Value> = (0..1_000)
        .map(|index| json!({ "conversation": format!("room-{index}") }))
        .collect();
    items[bad] = json!({ "conversation": "" });
    let issued = client.post(ISSUE, &json!({ "items": items })).await.ok(200);
    let issued = issued["items"].as_array().unwrap();
    assert_eq!(issued.len(), 1_000);
    assert_eq!(issued[bad]["error"]["code"], "invalid_request");
    for (index, item) in issued.iter().enumerate().filter(|(index, _)| *index != bad) {
        assert_eq!(item["conversation"], format!("room-{index}"));
    }

    let unwrap = |index: usize| {
        let room = if index == bad { 0 } else { index };
        json!({ "conversation": format!("room-{index}"), "wrapped_key": issued[room]["wrapped_key"] })
    };
    let items: Vec<Value> = (0..1_000).map(unwrap).collect();
    let opened = client
        .post(UNWRAP, &json!({ "items": items }))
        .await
        .ok(200);
    let opened = opened["items"].as_array().unwrap();
    assert_eq!(opened.len(), 1_000);
    assert_eq!(opened[bad]["error"]["code"], "invalid_wrapped_key");
    for (index, item) in opened.iter().enumerate().filter(|(index, _)| *index != bad) {
        assert_eq!(item["data_key"], issued[index]["data_key"], "{index}");
    }

    // serde takes a list for a struct; a client that sends one is wrong.
    let list = json!(["a", true]);
    let mixed = json!({ "items": [{ "conversation": 7 }, { "conversation": "a", "x": 1 }, list,
        { "conversation": "a" }] });
    let mixed = client.post(ISSUE, &mixed).await.ok(200);
    for index in 0..3 {
        assert_eq!(mixed["items"][index]["error"]["code"], "invalid_request");
    }
    assert_eq!(mixed["items"][3]["conversation"], "a");
}

#[tokio::test]
async fn a_conversation_id_is_1_to_256_bytes_without_control_characters() {
    let world = World::open().await;
    let client = world.client("message-server");
    for good in [
        "a",
        " ",
        "é/\\\"\u{1f600}",
        &"x".repeat(256),
        &"é".repeat(128),
    ] {
        let issued = client.issue("chat", good).await.ok(201);
        assert_eq!(issued["conversation"], good);
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        client.unwrap("chat", good, wrapped).await.ok(200);
    }
    // Byte for byte: two spellings of one text are two conversations.
    let composed = client.issue("chat", "\u{e9}").await.text("wrapped_key");
    let decomposed = client.unwrap("chat", "e\u{301}", &composed).await;
    refused(&decomposed, 400, "invalid_wrapped_key");
    let long = "x".repeat(257);
    let wide = "é".repeat(129);
    for bad in ["", &long, &wide, "a\nb", "\0", "\u{7f}", "\u{85}"] {
        refused(&client.issue("chat", bad).await, 400, "invalid_request");
        let opened = client.unwrap("chat", bad, &composed).await;
        refused(&opened, 400, "invalid_request");
    }
    for bad in [
        b"{\"conversation\":\"\xff\xfe\"}".to_vec(),
        b"{\"conversation\":\"\\ud800\"}".to_vec(),
        b"{\"conversation\":\"a\nb\"}".to_vec(),
    ] {
        let reply = client.post_bytes(ISSUE, bad).await;
        refused(&reply, 400, "invalid_request");
    }
}

#[tokio::test]
async fn wrapped_keys_that_are_not_these() {
    let (world, foreign) = (World::open().await, World::open().await);
    let client = world.client("message-server");
    let operator = world.client("operator");
    operator.set_keyspace("other", "72h", "1h").await.ok(201);
    let wrapped = client.issue("chat", "room").await.text("wrapped_key");

    let wrong = |reply: &Reply| refused(reply, 400, "invalid_wrapped_key");
    wrong(&client.unwrap("chat", "other", &wrapped).await);
    wrong(&client.unwrap("other", "room", &wrapped).await);
    let foreign = foreign.client("message-server");
    wrong(&foreign.unwrap("chat", "room", &wrapped).await);

    let mut variants: Vec<String> = (0..wrapped.len())
        .map(|n| wrapped[..n].to_owned())
        .collect();
    variants.extend(["A", "=", " ", "\n"].map(|end| format!("{wrapped}{end}")));
    variants.push(format!(" {wrapped}"));
    variants.extend(
        ["lethe:v2:", "lethe:v0:", "LETHE:v1:", "vault:v1:"]
            .map(|prefix| wrapped.replace("lethe:v1:", prefix)),
    );
    variants.push(wrapped.replace('A', "é"));
    for code in codes(&client, &variants).await {
        assert_eq!(code, "invalid_wrapped_key");
    }
    altered(&client, &wrapped).await;
    client.unwrap("chat", "room", &wrapped).await.ok(200);
}

/// Every character changed in its lowest and its highest bit. An altered header may say that it
/// has expired or is of a version that is not alive: 410 is judged before the integrity check.
async fn altered(client: &Client, wrapped: &str) {
    let begin = "lethe:v1:".len();
    let mut variants = Vec::new();
    for at in begin..wrapped.len() {
        let mut bytes = wrapped.as_bytes().to_owned();
        let value = ALPHABET.iter().position(|c| *c == bytes[at]).unwrap();
        for bit in [1, 32] {
            bytes[at] = ALPHABET[value ^ bit];
            variants.push(String::from_utf8(bytes.clone()).unwrap());
        }
    }
    let header_characters = (14 * 8_usize).div_ceil(6) * 2;
    for (index, code) in codes(client, &variants).await.iter().enumerate() {
        let in_header = index < header_characters;
        let gone = ["expired", "version_retired", "shredded"].contains(&code.as_str());
        assert!(
            code == "invalid_wrapped_key" || (in_header && gone),
            "{code} for {}",
            variants[index]
        );
    }
}

async fn codes(client: &Client, wrapped: &[String]) -> Vec<String> {
    let items: Vec<Value> = wrapped
        .iter()
        .map(|wrapped| json!({ "conversation": "room", "wrapped_key": wrapped }))
        .collect();
    let answer = client
        .post(UNWRAP, &json!({ "items": items }))
        .await
        .ok(200);
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| item["error"]["code"].as_str().unwrap_or("ok").to_owned())
        .collect()
}

/// `docs/design.md#p7`. A million of them belong to the benchmark: this is a debug build.
#[tokio::test]
async fn conversations_take_no_row() {
    let world = World::open().await;
    let client = world.client("message-server");
    client.issue("chat", "first").await.ok(201);
    let hour = || world.process.service.node.now().as_millis() / 3_600_000;
    let begun = hour();
    let before = rows(&world).await;
    assert!(before > 4);
    for batch in 0..20 {
        let items: Vec<Value> = (0..1_000)
            .map(|n| json!({ "conversation": format!("{batch}-{n}"), "plaintext": false }))
            .collect();
        let answer = client.post(ISSUE, &json!({ "items": items })).await.ok(200);
        assert!(answer["items"][999]["wrapped_key"].is_string());
    }
    let after = rows(&world).await;
    // A bucket an hour, whatever is issued, and a row that counts what this client did with this key version.
    let hours = i64::try_from(hour() - begun).unwrap();
    assert!(after <= before + hours + 1, "{before} {after}");
}

async fn rows(world: &World) -> i64 {
    use sqlx::{ConnectOptions, Connection};
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let options = options.filename(world.process.folder().join("lethe.db"));
    let mut database = options.connect().await.unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut database)
        .await
        .unwrap();
    let mut total = 0;
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        total += sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut database)
            .await
            .unwrap();
    }
    database.close().await.unwrap();
    total
}
