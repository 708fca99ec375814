//! The command line of approvals.

use std::process::Output;

use crate::support::Role;
use crate::support::approvals::{run_as, second_path, use_up, with};
use serde_json::{Value, json};

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_asks_for_an_approval_and_approves() {
    let dev = with("");
    use_up(&dev.api(Role::Operator)).await;
    let list = dev.scratch().join("list");
    std::fs::write(&list, "a\nb\n").unwrap();
    let shred = ["shred", "chat", "--in", list.to_str().unwrap()];
    let output = run_as(&dev, None, &shred);
    let (out, error) = said(&output);
    assert_eq!(
        (output.status.code(), out.as_str()),
        (Some(1), ""),
        "{error}"
    );
    assert!(error.contains("2 wait for a second operator"), "{error}");
    assert_eq!(error.matches("lethe approve 0").count(), 1, "{error}");
    let id = error.split("lethe approve ").nth(1).unwrap();
    let id = id.split('`').next().unwrap();

    let (out, _) = said(&run_as(&dev, None, &["approve"]));
    assert!(out.contains(id) && out.contains("shred 2 of chat"), "{out}");
    let (out, _) = said(&run_as(&dev, None, &["approve", "--output", "json"]));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["approvals"][0]["id"], json!(id));
    assert_eq!(shown["approvals"][0]["conversations"], 2);
    let own = run_as(&dev, None, &["approve", id]);
    assert_eq!(own.status.code(), Some(1));
    assert!(said(&own).1.contains("second operator"), "{own:?}");
    let second = second_path(&dev);
    let approved = run_as(&dev, Some(&second), &["approve", id]);
    let (out, error) = said(&approved);
    assert!(approved.status.success(), "{error}");
    assert!(out.contains("2 of 2 destroyed"), "{out}");
    let (out, _) = said(&run_as(&dev, None, &["approve"]));
    assert_eq!(out, "nothing waits for a second operator\n");
    // The same list again, under the ids that were kept: the receipts.
    let output = run_as(&dev, None, &shred);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output).0.matches("destroyed").count(), 2);

    let more = run_as(&dev, None, &["shred", "chat", "c"]);
    let (_, error) = said(&more);
    let id = error.split("lethe approve ").nth(1).unwrap();
    let id = id.split('`').next().unwrap();
    let (out, error) = said(&run_as(&dev, None, &["withdraw", id]));
    assert_eq!(out, format!("{id}  withdrawn\n"), "{error}");
    let late = run_as(&dev, Some(&second), &["approve", id]);
    assert_eq!(late.status.code(), Some(1));
    assert!(said(&late).1.contains("withdrawn"), "{late:?}");

    let erase = run_as(&dev, None, &["keyspace", "erase", "chat", "--yes"]);
    let (_, error) = said(&erase);
    assert_eq!(erase.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let word = |after: &str| {
        let rest = error.split(after).nth(1).unwrap();
        rest.trim().split('`').next().unwrap().to_owned()
    };
    let (approval, id) = (word("lethe approve "), word("--id "));
    let approved = run_as(
        &dev,
        Some(&second),
        &["approve", &approval, "--output", "json"],
    );
    let done: Value = serde_json::from_str(&said(&approved).0).unwrap();
    assert_eq!(done["state"], "destroyed");
    let erased = run_as(
        &dev,
        None,
        &["keyspace", "erase", "chat", "--yes", "--id", &id],
    );
    assert!(erased.status.success(), "{erased:?}");
}
