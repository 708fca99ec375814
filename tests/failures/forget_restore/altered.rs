//! Somebody writes to the database of a stopped service, and to nothing else: the service halts, says
//! which row it is, and neither destroys nor signs anything.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};

use super::{copy, halts};
use crate::support::independent as program;
use crate::support::{Dev, Role, eventually, refused};

const SHREDS: &str = "/v1/keyspaces/chat/shreds";

/// The statements that were run while it was stopped.
async fn edit(dev: &Dev, statements: &str) {
    let mut database = dev.database().await;
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    let done = done.execute(&mut database).await.unwrap();
    assert!(done.rows_affected() > 0, "{statements}");
    database.close().await.unwrap();
}

/// The rows as they were, but for the seat: a start has taken the next nonce of the claim.
async fn put_back(dev: &Dev, whole: &std::path::Path) {
    let tables = [
        "request",
        "batch",
        "bucket",
        "keyspace",
        "key_version",
        "deployment",
        "hsm_move",
    ];
    let rows = tables.map(|table| {
        format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM whole.{table};")
    });
    let attach = format!(
        "PRAGMA foreign_keys = OFF; ATTACH '{}' AS whole;",
        whole.display()
    );
    edit(
        dev,
        &format!("{attach} {} UPDATE meta SET row_id = 1", rows.concat()),
    )
    .await;
}

/// What a program that shares nothing with the service finds in the database.
fn found(dev: &Dev) -> Value {
    let dump = dev.scratch().join("dump.json");
    std::fs::write(&dump, dev.hsm_sim(&["dump", "--output", "json"])).unwrap();
    let words = ["--dump".into(), dump.into(), dev.dir().into()];
    program::lines("authentic.py", words).remove(0)
}

/// What an edit is, and how the row is named that the service finds.
const EDITS: [(&str, &str); 20] = [
    // A shred that was accepted forgets another leaf, is another's, or was never asked for.
    ("UPDATE request SET leaves = randomblob(length(leaves)) WHERE number = 3", "request 3"),
    ("UPDATE request SET commitment = randomblob(32) WHERE number = 3", "request 3"),
    ("UPDATE request SET accepted_at_ms = accepted_at_ms - 1000 WHERE number = 3", "request 3"),
    ("UPDATE request SET mac = NULL WHERE number = 3", "request 3"),
    (
        "INSERT INTO request SELECT 5, randomblob(16), kind, keyspace_id, accepted_at_ms,
             leases_end_at_ms, tag, commitment, leaves, keyspace_name, version, mac
         FROM request WHERE number = 3",
        "request 5",
    ),
    ("DELETE FROM request WHERE number = 3", "request 3"),
    // A batch of a sequence long gone, one that is not this one, none.
    (
        "INSERT INTO batch (sequence, first_request, last_request, replaced_root)
             VALUES (1, 3, 3, randomblob(16))",
        "batch 1",
    ),
    ("DELETE FROM batch", "batch"),
    (
        "UPDATE batch SET signature = NULL, destroyed_at_ms = NULL, destroyed = NULL, signing_key = NULL,
             last_request = 3 WHERE last_request = 2",
        "batch",
    ),
    // Expired, so nobody asks the HSM whether its key opens it.
    (
        "INSERT INTO bucket (expiry_s, hsm_key_id, iv, ciphertext)
             VALUES (1000, randomblob(16), randomblob(12), randomblob(48))",
        "bucket 1000",
    ),
    (
        "INSERT INTO bucket SELECT 1000, hsm_key_id, iv, ciphertext, mac FROM bucket LIMIT 1",
        "bucket 1000",
    ),
    // What opens, and how long.
    ("UPDATE keyspace SET minimum_version = 1", "keyspace"),
    ("UPDATE keyspace SET retention_s = retention_s + 3600", "keyspace"),
    ("UPDATE keyspace SET shorter_retentions_s = x'0000000000000e10'", "keyspace"),
    ("UPDATE keyspace SET cache_ttl_ms = 1", "keyspace"),
    ("UPDATE keyspace SET leases_until_ms = 0", "keyspace"),
    ("UPDATE key_version SET created_at_ms = created_at_ms - 1000000000", "keyspace"),
    // The time.
    ("UPDATE deployment SET clock_high_water_ms = clock_high_water_ms - 60000", "deployment"),
    ("UPDATE deployment SET clock_boot_id = NULL, clock_boot_ms = NULL", "deployment"),
    ("INSERT INTO hsm_move (row_id) VALUES (1)", "hsm_move"),
];

/// Two shreds done, two accepted and not done; the second version is the smallest that opens.
async fn prepare(dev: &mut Dev) -> (String, Value) {
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let chat = "/v1/keyspaces/chat";
    operator
        .post_bytes(&format!("{chat}/versions"), "")
        .await
        .ok(201);
    let settings = json!({ "retention": "72h", "granularity": "1h", "rotation": "30d",
        "cache_ttl": "5m", "minimum_version": 2 });
    operator.put(chat, &settings).await.ok(200);
    let kept = api.issue("chat", "bob").await.text("wrapped_key");
    api.shred("chat", "one").await.ok(200);
    api.shred("chat", "two").await.ok(200);
    dev.hsm_sim(&["fault", "set", "full"]);
    api.shred_async("chat", "three").await.ok(202);
    let open = api.shred_async("chat", "four").await.ok(202);
    dev.kill();
    (kept, open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_row_halts_the_service() {
    let mut dev = Dev::start();
    let (kept, open) = prepare(&mut dev).await;
    let database = dev.dir().join("lethe.db");
    // Whole, so that one file can be put back.
    edit(
        &dev,
        "PRAGMA wal_checkpoint(TRUNCATE); UPDATE meta SET row_id = 1",
    )
    .await;
    let whole = dev.scratch().join("whole.db");
    copy(&database, &whole);
    assert_eq!(found(&dev), json!({ "altered": [], "keyspaces": true }));
    for (statements, row) in EDITS {
        edit(&dev, statements).await;
        let found = found(&dev);
        // Batches and gaps it does not look at.
        if row.starts_with("keyspace") {
            assert_eq!(found["keyspaces"], false, "{statements}");
        } else if !row.starts_with("batch") && !statements.starts_with("DELETE") {
            let altered = found["altered"][0].as_str().unwrap();
            assert!(altered.starts_with(row), "{statements}: {found}");
        }
        halts(&mut dev, row);
        let last = dev.log().lines().last().unwrap().to_owned();
        assert!(last.contains("altered the store"), "{statements}: {last}");
        put_back(&dev, &whole).await;
    }
    // Nothing was lost by it.
    dev.run();
    let api = dev.api(Role::MessageServer);
    api.unwrap("chat", "bob", &kept).await.ok(200);
    let path = format!("{SHREDS}/{}", open["id"].as_str().unwrap());
    eventually("the shred is done", async || {
        api.get(&path).await.ok(200)["state"] == "destroyed"
    })
    .await;
}

/// A row that was authentic once is not brought back unnoticed where something has changed since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_row_halts_the_service() {
    let mut dev = Dev::start();
    dev.stop();
    edit(
        &dev,
        "CREATE TABLE earlier AS SELECT * FROM deployment;
         CREATE TABLE earlier_keyspace AS SELECT * FROM keyspace;
         UPDATE meta SET row_id = 1",
    )
    .await;
    dev.run();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("chat", "48h", "1h").await.ok(200);
    dev.stop();
    let whole = dev.scratch().join("whole.db");
    let database = dev.dir().join("lethe.db");
    copy(&database, &whole);
    let back = "DELETE FROM deployment; INSERT INTO deployment SELECT * FROM earlier";
    edit(&dev, back).await;
    halts(&mut dev, "deployment");
    put_back(&dev, &whole).await;
    let columns = ["retention_s", "leases_until_ms", "expiries_until_ms"];
    let set = columns.map(|it| format!("{it} = (SELECT {it} FROM earlier_keyspace)"));
    edit(&dev, &format!("UPDATE keyspace SET {}", set.join(", "))).await;
    halts(&mut dev, "keyspace");
    put_back(&dev, &whole).await;
    dev.run();
}

/// A batch that only looks signed makes nobody's shred done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_receipt_is_not_answered() {
    let mut dev = Dev::start();
    let done = dev.api(Role::MessageServer).shred("chat", "one").await;
    let done = done.ok(200);
    dev.stop();
    edit(
        &dev,
        "UPDATE batch SET destroyed_at_ms = destroyed_at_ms - 1",
    )
    .await;
    dev.run();
    let path = format!("{SHREDS}/{}", done["id"].as_str().unwrap());
    let shown = dev.api(Role::MessageServer).get(&path).await;
    refused(&shown, 503, "store_unavailable");
}
