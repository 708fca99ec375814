//! `lethe rewrap` against the running service: the same data keys under the newest version, in the
//! same lines, whatever stands between them and however often it is killed.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../client/tests/support/mod.rs"]
mod scripted;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use lethe_core::wrapped_key::{Header, WrappedKey};
use serde_json::{Value, json};
use support::{Api, Dev, Role, eventually, lethe, until};

const CHAT: &str = "/v1/keyspaces/chat";

/// Files of one test.
struct Files(tempfile::TempDir);

impl Files {
    fn with(text: impl AsRef<[u8]>) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.path("in"), text).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn command(&self, dev: &Dev, keyspace: &str, words: &[&str]) -> Command {
        let mut command = lethe(&["rewrap", keyspace, "--output", "json"]);
        command.arg("--in").arg(self.path("in"));
        command.arg("--out").arg(self.path("out"));
        command.arg("--dir").arg(dev.dir()).args(words);
        command
    }

    fn rewrap(&self, dev: &Dev, keyspace: &str, words: &[&str]) -> Output {
        self.command(dev, keyspace, words).output().unwrap()
    }
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The result object.
fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no result: {}", err(output)))
}

fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", err(output));
    assert_eq!(err(output), "");
    told(output)
}

/// Wrapped keys of conversations c0, c1, ...
async fn issued(api: &Api, keyspace: &str, count: usize) -> Vec<String> {
    let path = format!("/v1/keyspaces/{keyspace}/data-keys");
    let mut keys = Vec::new();
    for begin in (0..count).step_by(1_000) {
        let numbers = begin..count.min(begin + 1_000);
        let items: Vec<_> = numbers
            .map(|n| json!({"conversation": format!("c{n}"), "plaintext": false}))
            .collect();
        let answer = api.post(&path, &json!({ "items": items })).await.ok(200);
        let items = answer["items"].as_array().unwrap().iter();
        keys.extend(items.map(|item| item["wrapped_key"].as_str().unwrap().to_owned()));
    }
    keys
}

async fn data_key(api: &Api, conversation: &str, wrapped: &str) -> Value {
    let mut opened = api.unwrap("chat", conversation, wrapped).await.ok(200);
    opened["data_key"].take()
}

fn line(n: usize, wrapped: &str) -> String {
    format!(
        "{{\"row\": {n}.0, \"wrapped_key\": \"{wrapped}\",\"conversation\":\"c{n}\", \"tags\":[]}}\n"
    )
}

fn lines(keys: &[String]) -> String {
    let lines = keys.iter().enumerate();
    lines.map(|(n, key)| line(n, key)).collect()
}

fn wrapped(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap();
    value["wrapped_key"].as_str().unwrap().to_owned()
}

fn header(wrapped: &str) -> Header {
    wrapped.parse::<WrappedKey>().unwrap().header()
}

/// Every line in its place with nothing but its key changed, and that to `version`.
fn assert_rewrapped(before: &[String], after: &str, version: u32) {
    let after: Vec<_> = after.split_inclusive('\n').collect();
    assert_eq!(after.len(), before.len());
    for (n, (old, new)) in before.iter().zip(after).enumerate() {
        let key = wrapped(new);
        assert_eq!(new, line(n, &key));
        assert_eq!(header(&key).version.number(), version);
        assert_eq!(
            header(&key).expiry,
            header(old).expiry,
            "its life is not stretched"
        );
    }
}

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
        told(&output)["bad_by_reason"],
        json!({"version_retired": 1})
    );
}

/// A key that has expired, and then keys `c0`, `c1` that live on, in one keyspace.
async fn expired_and_living(dev: &Dev) -> (String, Vec<String>) {
    let (server, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("brief", "1s", "1s").await.ok(201);
    let expired = issued(&server, "brief", 1).await.remove(0);
    eventually("the key has expired", async || {
        server.unwrap("brief", "c0", &expired).await.code() == "expired"
    })
    .await;
    operator.set_keyspace("brief", "72h", "1h").await.ok(200);
    let living = issued(&server, "brief", 3).await;
    server.shred("brief", "c2").await.ok(200);
    (expired, living)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_told_and_kept_and_the_rest_is_done() {
    let dev = Dev::start();
    let (expired, keys) = expired_and_living(&dev).await;
    let operator = dev.api(Role::Operator);
    let rotated = operator
        .post_bytes("/v1/keyspaces/brief/versions", "")
        .await;
    rotated.ok(201);
    let last = line(1, &keys[1]);
    let text = [
        &line(0, &keys[0]),
        "secret\n",
        "\n",
        "{\"conversation\":\"secret\"}\n",
        "{\"conversation\":\"\",\"wrapped_key\":\"secret\"}\n",
        "{\"conversation\":\"secret\",\"wrapped_key\":\"vault:v1:secret\"}\n",
        &line(0, &expired),
        &line(2, &keys[2]),
        &line(0, &keys[1]),
        last.trim_end(),
    ];
    let files = Files::with(text.concat());
    let output = files.rewrap(&dev, "brief", &[]);
    assert_eq!(output.status.code(), Some(1));
    let errors = err(&output);
    let errors: Vec<_> = errors.lines().collect();
    let expected = [
        (2, "invalid_json"),
        (4, "missing_field"),
        (5, "invalid_conversation"),
        (6, "invalid_wrapped_key"),
        (7, "expired"),
        (8, "shredded"),
        (9, "invalid_wrapped_key"),
    ];
    for (error, (number, code)) in errors.iter().zip(expected) {
        let begin = format!("lethe: {}:{number}: {code}: ", files.path("in").display());
        assert!(error.starts_with(&begin), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(
        errors[7..],
        [
            "lethe: 7 of 10 lines are bad: expired 1, invalid_conversation 1, invalid_json 1, \
          invalid_wrapped_key 2, missing_field 1, shredded 1; they are kept as they were, the \
          others are done"
        ]
    );
    let result = told(&output);
    assert_eq!(
        (&result["bad"], &result["rewrapped"]),
        (&json!(7), &json!(2))
    );
    assert_eq!(
        result["census"],
        json!({"before": {"1": 5}, "after": {"1": 3, "2": 2}})
    );
    let after = files.read("out");
    let after: Vec<_> = after.split_inclusive('\n').collect();
    assert_eq!(after[1..9], text[1..9]);
    assert_eq!(after[0], line(0, &wrapped(after[0])));
    assert_eq!(after[9], line(1, &wrapped(after[9])).trim_end());
    for (n, line) in [(0, after[0]), (1, after[9])] {
        let opened = dev.api(Role::MessageServer);
        let opened = opened
            .unwrap("brief", &format!("c{n}"), &wrapped(line))
            .await;
        opened.ok(200);
    }

    let output = files.rewrap(&dev, "brief", &["--force", "--drop-bad"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(told(&output)["census"]["after"], json!({"2": 2}));
    assert_eq!(
        files.read("out").lines().count(),
        3,
        "two keys and a blank line"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_it_goes_on_and_nothing_is_twice_or_missing() {
    let dev = Dev::start();
    let (server, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let keys = issued(&server, "chat", 4_000).await;
    operator
        .post_bytes(&format!("{CHAT}/versions"), "")
        .await
        .ok(201);
    let files = Files::with(lines(&keys));
    let mut killed = 0;
    for _ in 0..2 {
        let mut child = files
            .command(&dev, "chat", &["--rate", "800"])
            .spawn()
            .unwrap();
        let seen = until(|| {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            let lines = lines_kept(&files.path("out.part.json"))?;
            (lines > killed).then_some(lines)
        });
        killed = seen.unwrap();
        let second = files.rewrap(&dev, "chat", &[]);
        assert!(
            err(&second).contains("another run is at work"),
            "{}",
            err(&second)
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!files.path("out").exists());
        append(&files.path("out.part"), "{\"row\": 7.0, \"wrapped");
    }
    let other = Files::with(lines(&keys[1..]));
    std::fs::copy(files.path("out.part"), other.path("out.part")).unwrap();
    std::fs::copy(files.path("out.part.json"), other.path("out.part.json")).unwrap();
    let output = other.rewrap(&dev, "chat", &[]);
    assert!(err(&output).contains("another input"), "{}", err(&output));

    let result = done(&files.rewrap(&dev, "chat", &[]));
    assert!(result["resumed_after"].as_u64().unwrap() >= killed);
    assert_eq!(
        result["census"],
        json!({"before": {"1": 4_000}, "after": {"2": 4_000}})
    );
    assert_rewrapped(&keys, &files.read("out"), 2);
    assert_eq!(files.names(), ["in", "out"]);
    let key = wrapped(files.read("out").lines().next().unwrap());
    let before = data_key(&server, "c0", &keys[0]).await;
    assert_eq!(data_key(&server, "c0", &key).await, before);
}

fn lines_kept(state: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(state).ok()?;
    let state: Value = serde_json::from_str(&text).unwrap();
    state["tally"]["lines"].as_u64()
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lines_and_floods_of_bad_ones() {
    let dev = Dev::start();
    let keys = issued(&dev.api(Role::MessageServer), "chat", 2).await;
    let long = line(0, &keys[0]).replace("[]", &format!("\"{}\"", "x".repeat(10 << 20)));
    let files = Files::with(format!("{long}{}", line(1, &keys[1])));
    let result = done(&files.rewrap(&dev, "chat", &[]));
    assert_eq!(result["rewrapped"], 2);
    let after = files.read("out");
    let key = wrapped(after.lines().next().unwrap());
    assert!(after.starts_with(&long.replace(&keys[0], &key)));

    let endless = "x".repeat(40 << 20);
    let text = format!("{}{endless}\n{}", line(0, &keys[0]), line(1, &keys[1]));
    let files = Files::with(&text);
    let output = files.rewrap(&dev, "chat", &[]);
    let result = told(&output);
    assert_eq!(result["bad_by_reason"], json!({"too_long": 1}));
    assert_eq!(
        (&result["rewrapped"], &result["lines"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(files.read("out").len(), text.len());

    let files = Files::with(format!("{}{}", "{}\n".repeat(250), line(1, &keys[1])));
    let output = files.rewrap(&dev, "chat", &["--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        told(&output)["bad_by_reason"],
        json!({"missing_field": 250})
    );
    let errors = err(&output);
    assert_eq!(errors.lines().count(), 102);
    assert_eq!(
        errors.lines().last(),
        Some("lethe: 250 of 251 lines are bad: missing_field 250")
    );
}

/// Against a scripted service: troubles of its own make no line bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_tried_again_and_what_does_not_keeps_what_is_done() {
    use scripted::{Asked, Say, Service, Who};
    fn rewrap(asked: &Asked) -> (u16, Value) {
        let items = asked.body["items"].as_array().unwrap().iter();
        let items: Vec<_> = items
            .map(|item| {
                json!({"conversation": item["conversation"], "wrapped_key": item["wrapped_key"],
                    "version": 2, "expires_at": "2026-01-04T01:00:00.000Z"})
            })
            .collect();
        (200, json!({ "items": items }))
    }
    let keyspace = || {
        Say::Json(
            200,
            json!({"name": "chat", "retention": "72h", "granularity": "1h",
            "rotation": "30d", "cache_ttl": "5m", "versions": [{"version": 2}]}),
        )
    };
    let away = Say::With(|asked| {
        let (status, mut answer) = rewrap(asked);
        answer["items"][1] = json!({"error": {"code": "store_unavailable", "detail": "away"}});
        (status, answer)
    });
    let forbidden = Say::Json(403, json!({"code": "forbidden", "detail": "no"}));
    let replies = [keyspace(), away, Say::With(rewrap), keyspace(), forbidden];
    let service = Service::saying(replies).await;
    let key = format!("lethe:v1:AAAAAg{}", "A".repeat(66));
    let files = Files::with(lines(&[key.clone(), key.clone()]));
    let run = async || {
        let mut command = lethe(&["rewrap", "chat", "--output", "json", "--force"]);
        command
            .arg("--in")
            .arg(files.path("in"))
            .arg("--out")
            .arg(files.path("out"));
        command.args(["--server", &service.address]);
        command.arg("--ca").arg(service.pki.ca());
        command
            .arg("--cert")
            .arg(service.pki.certificate(Who::Known));
        command.arg("--key").arg(service.pki.key(Who::Known));
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        tokio::time::timeout(Duration::from_secs(60), run)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(done(&run().await)["rewrapped"], 2);
    let again = &service.asked()[2].body["items"];
    assert_eq!(*again, json!([{"conversation": "c1", "wrapped_key": key}]));

    let output = run().await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        err(&output),
        "lethe: forbidden: no; run it again to go on\n"
    );
    assert_eq!(lines_kept(&files.path("out.part.json")), Some(0));
}
