//! `lethe rewrap` against the running service: the same data keys under the newest version, in the
//! same lines, whatever stands between them and however often it is killed.

mod bad_lines;
mod files;
mod interrupted;

use crate::support::{Api, Dev, Role, eventually};
use files::{
    Files, assert_rewrapped, data_key, done, err, issued, line, lines, result_of, wrapped,
};
use serde_json::json;

const CHAT: &str = "/v1/keyspaces/chat";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_later_the_same_data_keys_are_under_the_new_version() {
    let dev = Dev::start();
    let (server, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let keys = issued(&server, "chat", 2_100).await;
    let sample = [0, 999, 1_000, 2_099];
    let mut opened = Vec::new();
    for n in sample {
        opened.push(data_key(&server, &format!("c{n}"), &keys[n]).await);
    }
    operator
        .post_bytes(&format!("{CHAT}/versions"), "")
        .await
        .ok(201);

    let files = Files::with(lines(&keys));
    let counted = done(&files.rewrap(&dev, "chat", &["--dry-run"]));
    assert_eq!(counted["census"], json!({"before": {"1": 2_100}}));
    assert_eq!(
        (&counted["newest_version"], &counted["to_rewrap"]),
        (&json!(2), &json!(2_100))
    );
    assert_eq!(files.names(), ["in"], "nothing is written");

    let result = done(&files.rewrap(&dev, "chat", &[]));
    assert_eq!(
        result["census"],
        json!({"before": {"1": 2_100}, "after": {"2": 2_100}})
    );
    assert_eq!(
        (&result["lines"], &result["rewrapped"]),
        (&json!(2_100), &json!(2_100))
    );
    assert_eq!(files.names(), ["in", "out"]);
    let after = files.read("out");
    assert_rewrapped(&keys, &after, 2);
    let after: Vec<_> = after.lines().map(wrapped).collect();
    for (n, before) in sample.into_iter().zip(opened) {
        assert_eq!(data_key(&server, &format!("c{n}"), &after[n]).await, before);
    }
    assert_eq!(files.read("in"), lines(&keys));
    drop_the_old_version(&dev, &server, &keys[7], &after[7]).await;
}

/// What a rewrap is for: afterwards nothing needs the old version.
async fn drop_the_old_version(dev: &Dev, server: &Api, old: &str, new: &str) {
    let operator = dev.api(Role::Operator);
    let dropped = operator.delete(&format!("{CHAT}/versions/1")).await;
    assert!(dropped.status < 300, "{}", dropped.body);
    eventually("the old version is gone", async || {
        server.unwrap("chat", "c7", old).await.code() == "version_retired"
    })
    .await;
    server.unwrap("chat", "c7", new).await.ok(200);
    let files = Files::with(line(7, old));
    let output = files.rewrap(dev, "chat", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        result_of(&output)["bad_by_reason"],
        json!({"version_retired": 1})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_files() {
    let dev = Dev::start();
    let keys = issued(&dev.api(Role::MessageServer), "chat", 2).await;

    let empty = Files::with("");
    let result = done(&empty.rewrap(&dev, "chat", &[]));
    assert_eq!(result["census"], json!({"before": {}, "after": {}}));
    assert_eq!(empty.read("out"), "");

    let output = empty.rewrap(&dev, "chat", &[]);
    assert!(err(&output).contains("out is there already; --force replaces it"));
    assert!(!output.status.success());
    done(&empty.rewrap(&dev, "chat", &["--force"]));

    let missing = Files::with("");
    std::fs::remove_file(missing.path("in")).unwrap();
    for words in [&[][..], &["--dry-run"]] {
        let output = missing.rewrap(&dev, "chat", words);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            err(&output).contains("in: No such file"),
            "{}",
            err(&output)
        );
    }
    std::fs::create_dir(missing.path("in")).unwrap();
    let output = missing.rewrap(&dev, "chat", &[]);
    assert!(
        err(&output).contains("in: is a directory"),
        "{}",
        err(&output)
    );
    assert_eq!(missing.names(), ["in"]);

    let unknown = Files::with(lines(&keys));
    let output = unknown.rewrap(&dev, "nowhere", &[]);
    assert!(
        err(&output).contains("unknown_keyspace"),
        "{}",
        err(&output)
    );
    assert_eq!(
        unknown.names(),
        ["in"],
        "a wrong name leaves nothing behind"
    );
}
