//! `lethe takeover`: a store that was moved is served on, and no copy that was left behind.

mod containers;

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::device::Daemon;
use crate::support::{Api, Dev, Role, eventually, lethe, refused};
use serde_json::{Value, json};
use sqlx::Connection;

/// Where the database is, as the configuration says it.
fn place(dev: &Dev, at: &str) {
    let path = dev.dir().join("lethe.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, placed(&text, at)).unwrap();
}

fn placed(text: &str, at: &str) -> String {
    let lines = text.lines().map(|line| match line.starts_with("sqlite =") {
        true => format!("sqlite = {at:?}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn folder(dev: &Dev, name: &str) -> PathBuf {
    let folder = dev.dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("lethe.db")
}

/// A deployment that is served, and a key of the conversation `kept`.
async fn served() -> (Dev, Api, String) {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let kept = issued(&api, "kept").await;
    (dev, api, kept)
}

/// A key of a conversation.
async fn issued(api: &Api, conversation: &str) -> String {
    api.issue("chat", conversation).await.text("wrapped_key")
}

/// Starts the service, which must unwrap a key of the conversation `kept`.
async fn serves(dev: &mut Dev, kept: &str) -> Api {
    dev.run();
    let api = dev.api(Role::MessageServer);
    api.unwrap("chat", "kept", kept).await.ok(200);
    api
}

fn takeover(config: &Path, words: &[&str]) -> Output {
    let mut command = lethe(&["takeover", "--output", "json", "--config"]);
    command.arg(config).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn taken(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Refused with this exit code for this reason, and nothing in the HSM has changed.
fn refuses(dev: &Dev, words: &[&str], code: i32, reason: &str) {
    let before = dev.objects();
    let output = takeover(&dev.dir().join("lethe.toml"), words);
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    let text = said(&output);
    assert!(text.lines().last().unwrap().contains(reason), "{text}");
    assert_eq!(dev.objects(), before);
}

/// The service must halt, say why, and leave every object where it was.
fn halts(dev: &mut Dev, reason: &str) {
    let before = dev.objects();
    let status = dev.try_run().unwrap_err();
    let log = dev.log();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.lines().last().unwrap().contains(reason), "{log}");
    assert_eq!(dev.objects(), before);
}

fn with_device<T>(dev: &Dev, run: impl FnOnce() -> T) -> T {
    let device: Daemon = dev.serve_device();
    let done = run();
    drop(device);
    done
}

/// A consistent copy of the database while it is served.
async fn copy(dev: &Dev, to: &Path) {
    let mut database = dev.database().await;
    let statement = sqlx::AssertSqlSafe(format!("VACUUM INTO '{}'", to.display()));
    sqlx::raw_sql(statement)
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_store_is_served_and_what_was_left_behind_is_not() {
    let (mut dev, api, kept) = served().await;
    let backup = dev.scratch().join("backup.db");
    copy(&dev, &backup).await;
    let gone = issued(&api, "gone").await;
    api.shred("chat", "gone").await.ok(200);
    dev.stop();

    let (old, new) = (dev.dir().join("lethe.db"), folder(&dev, "new"));
    let left = dev.scratch().join("left.db");
    std::fs::copy(&old, &left).unwrap();
    std::fs::rename(&old, &new).unwrap();
    place(&dev, "new/lethe.db");
    halts(&mut dev, "claimed by another store");

    let config = dev.dir().join("lethe.toml");
    with_device(&dev, || {
        refuses(&dev, &[], 1, "say --yes");
        let done = takeover(&config, &["--yes"]);
        assert!(said(&done).contains("Never start it again"), "{done:?}");
        let told = taken(&done);
        assert_eq!(told["taken_over"], true);
        assert_eq!(told["recorded"], true);
        assert!(told["from"].as_str().unwrap().ends_with("/dev/lethe.db"));
        assert!(told["to"].as_str().unwrap().ends_with("/new/lethe.db"));
        // Said twice it is done once.
        assert_eq!(taken(&takeover(&config, &["--yes"]))["taken_over"], false);
    });
    assert!(
        dev.audit()
            .contains("\"operation\":\"takeover\",\"outcome\":\"ok\"")
    );
    let api = serves(&mut dev, &kept).await;
    refused(&api.unwrap("chat", "gone", &gone).await, 410, "shredded");
    dev.stop();

    // The copy at the old place is neither served nor taken over.
    std::fs::copy(&left, &old).unwrap();
    place(&dev, "lethe.db");
    halts(&mut dev, "claimed by another store");
    with_device(&dev, || {
        refuses(&dev, &["--yes"], 3, "does not open");
        refuses(&dev, &["--yes", "--interrupted"], 3, "does not open");
    });

    // A backup has its root in the HSM no more, in the right place or in any other.
    let right = dev.scratch().join("right.db");
    std::fs::rename(&new, &right).unwrap();
    std::fs::copy(&backup, &new).unwrap();
    place(&dev, "new/lethe.db");
    halts(&mut dev, "does not open");
    std::fs::copy(&backup, folder(&dev, "third")).unwrap();
    place(&dev, "third/lethe.db");
    with_device(&dev, || refuses(&dev, &["--yes"], 3, "does not open"));

    std::fs::rename(&right, &new).unwrap();
    place(&dev, "new/lethe.db");
    serves(&mut dev, &kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_served_is_not_taken_over_and_halts_where_that_was_not_seen() {
    let (mut dev, api, kept) = served().await;
    copy(&dev, &folder(&dev, "new")).await;
    let other = dev.dir().join("other.toml");
    let text = std::fs::read_to_string(dev.dir().join("lethe.toml")).unwrap();
    std::fs::write(&other, text.replace("\"audit\"", "\"elsewhere\"")).unwrap();
    let text = std::fs::read_to_string(&other).unwrap();

    // The very database that is served.
    let output = takeover(&dev.dir().join("lethe.toml"), &["--yes"]);
    assert!(
        said(&output).contains("in use by another process"),
        "{output:?}"
    );
    // A copy of it.
    std::fs::write(&other, placed(&text, "new/lethe.db")).unwrap();
    let output = takeover(&other, &["--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is still served"), "{output:?}");
    api.unwrap("chat", "kept", &kept).await.ok(200);

    // As if it were on another machine, where its lock cannot be seen.
    std::fs::remove_file(dev.dir().join("lethe.db.lock")).unwrap();
    let told = taken(&takeover(&other, &["--yes"]));
    assert_eq!(told["recorded"], false);
    let status = dev.ended();
    assert_eq!(status.code(), Some(3), "{}", dev.log());
    assert!(
        dev.log().contains("claimed by another store"),
        "{}",
        dev.log()
    );
    place(&dev, "new/lethe.db");
    serves(&mut dev, &kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_others_have_gone_on_from_wants_a_word_more() {
    let (mut dev, _, kept) = served().await;
    let operator = dev.api(Role::Operator);
    let settings =
        json!({ "retention": "2m", "granularity": "1s", "rotation": "30d", "cache_ttl": "1s" });
    operator.put("/v1/keyspaces/brief", &settings).await.ok(201);
    copy(&dev, &folder(&dev, "new")).await;
    // New buckets, and no batch: the root is that of the copy.
    let newest = async || -> i64 {
        let mut database = dev.database().await;
        // Those of the other keyspaces are days ahead.
        let newest = "SELECT max(expiry_s) FROM bucket WHERE expiry_s < unixepoch() + 3600";
        let newest = sqlx::query_scalar(newest).fetch_one(&mut database);
        newest.await.unwrap()
    };
    let first = newest().await;
    eventually("there are new buckets", async || newest().await != first).await;
    dev.stop();
    std::fs::remove_file(dev.dir().join("lethe.db")).unwrap();
    place(&dev, "new/lethe.db");
    with_device(&dev, || {
        refuses(
            &dev,
            &["--yes"],
            1,
            "another copy of the database has gone on",
        );
        let config = dev.dir().join("lethe.toml");
        let told = taken(&takeover(&config, &["--yes", "--interrupted"]));
        assert_eq!(told["taken_over"], true);
    });
    serves(&mut dev, &kept).await;
}
