//! Shreds that another process counts in the same store.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use super::world::{World, eventually};

const SHREDS: &str = "/v1/keyspaces/chat/shreds";

/// A connection of the other process.
async fn database(world: &World) -> SqliteConnection {
    let path = world.process.folder().join("lethe.db");
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn what_another_process_counts_after_the_decision_counts() {
    let world = World::open_with(|config| {
        config.approvals.required = true;
        config.approvals.shreds = 10;
    })
    .await;
    let client = world.client("message-server");
    let shred = async |room: &str| client.post(SHREDS, &json!({ "conversation": room })).await;
    // More than this is beyond the floor of the client.
    shred("first").await.ok(200);
    let kept = client.issue("chat", "kept").await.text("wrapped_key");
    let node = &world.process.service.node;
    let refusals = &node.key_state.refusals;
    let mut other = database(&world).await;
    let begin = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other);
    begin.await.unwrap();
    let before = refusals.changes();
    let counting = async {
        // There is room when it is decided; the shred then waits for the lock.
        eventually("the leaf is pending", async || refusals.changes() > before).await;
        let later = node.now().as_millis().cast_signed() + 60_000;
        let count = sqlx::query("INSERT INTO shred_window VALUES (1, '', x'', ?, 9)");
        count.bind(later).execute(&mut other).await.unwrap();
        let commit = sqlx::raw_sql("COMMIT").execute(&mut other);
        commit.await.unwrap();
    };
    let (answer, ()) = tokio::join!(shred("kept"), counting);
    assert_eq!(answer.ok(202)["state"], "approval_required");
    client.unwrap("chat", "kept", &kept).await.ok(200);
}
