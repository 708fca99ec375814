//! Data keys over the wire. What is no good request is tested in `src/http/tests`.

use std::time::Duration;

use crate::support::{Dev, Role, eventually, refused};

/// `docs/design.md#p3`, `docs/design.md#p4`: neither log nor audit log nor database know a conversation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_key_goes_round_and_nothing_of_it_is_written_down() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let issued = api.issue("chat", "private-room-7").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let opened = api.unwrap("chat", "private-room-7", wrapped).await.ok(200);
    for field in ["conversation", "data_key", "version", "expires_at"] {
        assert_eq!(opened[field], issued[field], "{field}");
    }
    // White space is JSON too: exactly 1 MiB passes, one byte more does not.
    let path = "/v1/keyspaces/chat/data-keys";
    let mut body = br#"{"conversation":"private-room-7"}"#.to_vec();
    body.resize(1 << 20, b' ');
    api.post_bytes(path, body.clone()).await.ok(201);
    body.push(b' ');
    refused(&api.post_bytes(path, body).await, 413, "too_large");

    assert!(dev.audit().contains("\"operation\":\"issue\""));
    let database = std::fs::read(dev.dir().join("lethe.db")).unwrap();
    let wal = std::fs::read(dev.dir().join("lethe.db-wal")).unwrap_or_default();
    let everything = [
        dev.audit(),
        dev.log(),
        String::from_utf8_lossy(&database).into_owned(),
        String::from_utf8_lossy(&wal).into_owned(),
    ];
    for text in everything {
        assert!(!text.contains("private-room-7"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_refused_from_its_instant_on() {
    let dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("short", "2s", "1s").await.ok(201);
    let logged = dev.log();
    let issued = api.issue("short", "room").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let expiry: jiff::Timestamp = issued["expires_at"].as_str().unwrap().parse().unwrap();
    api.unwrap("short", "room", wrapped).await.ok(200);
    loop {
        let before = jiff::Timestamp::now();
        let answer = api.unwrap("short", "room", wrapped).await;
        let after = jiff::Timestamp::now();
        // One that was answered around the instant may say either.
        if before >= expiry {
            refused(&answer, 410, "expired");
            break;
        } else if after < expiry {
            answer.ok(200);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A chat key that lives is not touched, and the bucket's key dies in the HSM.
    eventually("the next bucket is destroyed, too", async || {
        dev.metric("lethe_expiry_destroy_seconds_count").await > 1
    })
    .await;
    refused(&api.unwrap("short", "room", wrapped).await, 410, "expired");
    api.issue("chat", "room").await.ok(201);
    // What goes on all the time is not in the log.
    assert_eq!(dev.log(), logged);
}
