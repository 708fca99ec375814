//! A run that was killed, or that the service refused, goes on where it was.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::CHAT;
use super::files::{Files, assert_rewrapped, data_key, done, err, issued, lines, wrapped};
use crate::scripted;
use crate::support::{Dev, Role, lethe, until};

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
