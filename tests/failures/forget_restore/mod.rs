//! Old copies and foreign roots around a service that shreds: it halts and destroys nothing, or
//! gives no receipt.

mod altered;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Dev, Role, binary, eventually, refused};
use sqlx::Connection;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Puts a copy in place of a folder.
fn replace(folder: &Path, copy_of_it: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
    copy(copy_of_it, folder);
}

/// Must halt, say why, and leave every object where it was.
fn halts(dev: &mut Dev, reason: &str) {
    let before = dev.objects();
    let status = dev.try_run().unwrap_err();
    let log = dev.log();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.lines().last().unwrap().contains(reason), "{log}");
    assert_eq!(dev.objects(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hsm_restored_from_before_a_shred_is_refused() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let old = api.issue("chat", "room").await.text("wrapped_key");
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    dev.stop();
    let (hsm, earlier) = (dev.dir().join("hsm"), dev.scratch().join("earlier"));
    copy(&hsm, &earlier);
    dev.run();
    dev.api(Role::MessageServer)
        .shred("chat", "room")
        .await
        .ok(200);
    dev.stop();
    let right = dev.scratch().join("right");
    copy(&hsm, &right);
    replace(&hsm, &earlier);
    halts(&mut dev, "does not open");
    replace(&hsm, &right);
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    api.unwrap("chat", "kept", &kept).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restored_from_before_a_shred_is_refused() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let old = api.issue("chat", "room").await.text("wrapped_key");
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    dev.stop();
    let database = dev.dir().join("lethe.db");
    let (earlier, right) = (dev.scratch().join("earlier"), dev.scratch().join("right"));
    std::fs::copy(&database, &earlier).unwrap();
    dev.run();
    dev.api(Role::MessageServer)
        .shred("chat", "room")
        .await
        .ok(200);
    dev.stop();
    std::fs::copy(&database, &right).unwrap();
    std::fs::copy(&earlier, &database).unwrap();
    halts(&mut dev, "does not open");
    std::fs::copy(&right, &database).unwrap();
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    api.unwrap("chat", "kept", &kept).await.ok(200);
}

/// A root that another leader of this deployment would have made.
fn plant_root(dev: &Dev, epoch: u64) {
    let objects = dev.objects();
    let label = objects.iter().find(|(label, _)| label.contains("/root/"));
    let label = label.unwrap().0.trim_matches('"').to_owned();
    let mut parts: Vec<&str> = label.split('/').collect();
    let epoch = epoch.to_string();
    *parts.last_mut().unwrap() = &epoch;
    let label = parts.join("/");
    let id = "00112233445566778899aabbccddeeff";
    let make = ["--keygen", "--key-type", "AES:32", "--sensitive"];
    let named = ["--id", id, "--label", &label];
    pkcs11_tool(dev, &[&make[..], &named].concat());
}

fn pkcs11_tool(dev: &Dev, words: &[&str]) {
    let pin = std::fs::read_to_string(dev.dir().join("hsm.pin")).unwrap();
    let module: PathBuf = binary("libhsm_sim_pkcs11.so");
    let made = Command::new("pkcs11-tool")
        .arg("--module")
        .arg(module)
        .args(["--token-label", "lethe-dev", "--login", "--pin", pin.trim()])
        .args(words)
        .env("HSM_SIM_SOCKET", dev.dir().join("hsm/hsm.sock"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_of_a_higher_epoch_stops_every_receipt_until_a_new_start_outgrows_it() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let old = api.issue("chat", "room").await.text("wrapped_key");
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    plant_root(&dev, 1_000);
    let accepted = api.shred_async("chat", "room").await.ok(202);
    let id = accepted["id"].as_str().unwrap().to_owned();
    let status = dev.ended();
    assert_eq!(status.code(), Some(3), "{}", dev.log());
    assert!(
        dev.log().contains("beside the current one"),
        "{}",
        dev.log()
    );
    let planted = |dev: &Dev| {
        let objects = dev.objects();
        objects.iter().any(|(label, _)| label.ends_with("/1000\""))
    };
    assert!(
        planted(&dev),
        "only roots up to our epoch are ours to destroy"
    );
    dev.run();
    assert!(!planted(&dev));
    let api = dev.api(Role::MessageServer);
    let path = format!("/v1/keyspaces/chat/shreds/{id}");
    eventually("the shred is done", async || {
        api.get(&path).await.ok(200)["state"] == "destroyed"
    })
    .await;
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    api.unwrap("chat", "kept", &kept).await.ok(200);
}

/// Whoever looks at the database while it is served does no harm: the WAL stays the service's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_looks_at_the_database_takes_nothing_away() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    api.shred("chat", "first").await.ok(200);
    let look = async |dev: &Dev| {
        let mut other = dev.database().await;
        let tables = sqlx::raw_sql("SELECT count(*) FROM request");
        tables.execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        assert!(dev.dir().join("lethe.db-wal").exists());
    };
    look(&dev).await;
    let old = api.issue("chat", "room").await.text("wrapped_key");
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    api.shred("chat", "room").await.ok(200);
    look(&dev).await;
    api.shred("chat", "last").await.ok(200);
    dev.kill();
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    api.unwrap("chat", "kept", &kept).await.ok(200);
}

/// A database that is replaced under the service is not the one that the next start would find: no
/// request is accepted, no key issued that would not open any more, and no receipt leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_replaced_under_the_service_takes_nothing_in() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let operator = dev.api(Role::Operator);
    api.shred("chat", "first").await.ok(200);
    let database = dev.dir().join("lethe.db");
    let aside = dev.scratch().join("aside.db");
    let names = ["", "-wal", "-shm"].map(|suffix| {
        let named = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        (named(&database), named(&aside))
    });
    for (name, aside) in &names {
        std::fs::rename(name, aside).unwrap();
        std::fs::copy(aside, name).unwrap();
    }
    let refuse = async |what: &str| {
        refused(
            &api.shred_async("chat", what).await,
            503,
            "store_unavailable",
        );
    };
    refuse("room").await;
    let made = operator.set_keyspace("new", "71h", "7m").await;
    refused(&made, 503, "store_unavailable");
    refused(&api.issue("new", "room").await, 404, "unknown_keyspace");
    eventually("readiness says it", async || {
        dev.ops("/readyz").await.1.contains("another file")
    })
    .await;
    // Of buckets that are in both.
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    let room = api.issue("chat", "room").await.text("wrapped_key");

    // Nothing was made in the HSM for rows that cannot be written. So the next start, which finds the copy and has
    // to wait for an answer, takes it: what was issued opens, and nothing is taken back.
    dev.kill();
    dev.run();
    let api = dev.api(Role::MessageServer);
    for (conversation, key) in [("kept", &kept), ("room", &room)] {
        api.unwrap("chat", conversation, key).await.ok(200);
    }
    api.shred("chat", "room").await.ok(200);
    refused(&api.unwrap("chat", "room", &room).await, 410, "shredded");
}

/// The root that the service made last is destroyed by somebody else: it halts, whether a batch or
/// a look finds it, and gives no receipt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_has_lost_its_root_halts() {
    for shreds in [false, true] {
        let mut dev = Dev::start();
        let api = dev.api(Role::MessageServer);
        api.shred("chat", "first").await.ok(200);
        let root = dev.database().await;
        let root = root_of(root).await;
        pkcs11_tool(
            &dev,
            &["--delete-object", "--type", "secrkey", "--id", &root],
        );
        let before = dev.objects();
        if shreds {
            let answer = api.shred_async("chat", "room").await;
            assert!([202, 503].contains(&answer.status), "{}", answer.status);
        }
        let status = dev.ended();
        assert_eq!(status.code(), Some(3), "{}", dev.log());
        let log = dev.log();
        assert!(log.contains("is not in the HSM any more"), "{log}");
        assert_eq!(dev.objects(), before, "nothing was made or destroyed");
    }
}

async fn root_of(mut database: sqlx::SqliteConnection) -> String {
    let root = sqlx::query_scalar("SELECT lower(hex(root_id)) FROM meta")
        .fetch_one(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    root
}

/// A row that nobody of ours wrote: no panic, nothing written over, and all else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_that_would_go_where_they_do_not_belong_are_not_written() {
    let mut dev = Dev::start();
    let kept = dev.api(Role::MessageServer).issue("chat", "kept").await;
    let kept = kept.text("wrapped_key");
    let alter = async |dev: &Dev, next: &str| {
        let mut database = dev.database().await;
        let update = sqlx::AssertSqlSafe(format!("UPDATE tree SET next_tail = {next}"));
        sqlx::raw_sql(update).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    };
    dev.stop();
    // No number that could be counted on from, and the range of another tree.
    for (room, next) in [("one", "9223372036854775807"), ("two", "5497558138880")] {
        alter(&dev, next).await;
        dev.run();
        let api = dev.api(Role::MessageServer);
        assert_eq!(api.shred_async("chat", room).await.status, 202);
        eventually("it says why", async || {
            dev.log()
                .contains(&format!("tree.next_tail of tree 1 is {next}"))
        })
        .await;
        let mut database = dev.database().await;
        let tails: i64 = sqlx::query_scalar("SELECT count(*) FROM tail")
            .fetch_one(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
        assert_eq!(tails, 0);
        api.unwrap("chat", "kept", &kept).await.ok(200);
        api.issue("chat", "another").await.ok(201);
        dev.stop();
    }
    alter(&dev, "number * 1099511627776").await;
    dev.run();
    let api = dev.api(Role::MessageServer);
    for room in ["one", "two"] {
        api.shred("chat", room).await.ok(200);
    }
    api.unwrap("chat", "kept", &kept).await.ok(200);
}
