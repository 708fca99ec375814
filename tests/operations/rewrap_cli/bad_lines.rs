//! Lines that cannot be rewrapped stay as they are, and are named by number.

use serde_json::json;

use super::files::{Files, done, err, issued, line, result_of, wrapped};
use crate::support::{Dev, Role, eventually};

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
    let result = result_of(&output);
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
    assert_eq!(result_of(&output)["census"]["after"], json!({"2": 2}));
    assert_eq!(
        files.read("out").lines().count(),
        3,
        "two keys and a blank line"
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
    let result = result_of(&output);
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
        result_of(&output)["bad_by_reason"],
        json!({"missing_field": 250})
    );
    let errors = err(&output);
    assert_eq!(errors.lines().count(), 102);
    assert_eq!(
        errors.lines().last(),
        Some("lethe: 250 of 251 lines are bad: missing_field 250")
    );
}
