//! `lethe shred --in`: a list of conversations, with the ids beside it until all is destroyed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{destroyed, destroys, each, keyspace, sent};
use super::command::{err, lethe, lines, out, run};
use crate::scripted::{Say, Service};

fn kept(state: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = lines(&std::fs::read_to_string(state).unwrap());
    lines[1..]
        .iter()
        .map(|line| (text(&line["id"]), text(&line["conversation"])))
        .collect()
}

struct List(tempfile::TempDir);

impl List {
    fn from_text(text: &str) -> Self {
        let list = Self(tempfile::tempdir().unwrap());
        std::fs::write(list.path("list"), text).unwrap();
        list
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn state(&self) -> std::path::PathBuf {
        self.0.path().join("list.shreds.jsonl")
    }

    fn words<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["shred", "chat", "--in", file], more].concat()
    }
}

/// Killed while the service thinks: the ids were kept before they were sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_after_a_kill_sends_the_same_ids() {
    let service =
        Service::saying([keyspace(), Say::Hang, destroys(), keyspace(), destroys()]).await;
    let list = List::from_text("a\nb\n");
    let file = list.path("list");
    let mut child = lethe(&service, &List::words(&file, &[])).spawn().unwrap();
    while service.asked().len() < 2 {
        assert!(child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = kept(&list.state());
    assert_eq!(sent(&service.asked()[1]), kept);
    let mode = std::fs::metadata(list.state()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "it names conversations");

    let second = run(&service, &List::words(&file, &[])).await;
    assert!(err(&second).contains("another run uses it"));
    child.kill().unwrap();
    child.wait().unwrap();

    let output = run(&service, &List::words(&file, &[])).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(sent(&service.asked()[2]), kept);
    assert_eq!(out(&output).lines().count(), 2);
    assert!(!list.state().exists(), "nothing is left to repeat");

    // Asked for again it is another wish.
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_ne!(sent(&service.asked()[4]), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_told_by_number_and_the_rest_is_done() {
    let service = Service::saying([keyspace(), destroys(), destroys()]).await;
    let list = List::from_text("a\n b\n{\"conversation\":\"c\"}\n\n{\"conversation\":7}\n");
    let file = list.path("list");
    let receipts = list.path("receipts");
    let words = List::words(&file, &["--output", "json", "--receipts", &receipts]);
    let output = run(&service, &words).await;
    assert_eq!(output.status.code(), Some(1));
    let errors = err(&output);
    let errors: Vec<_> = errors.lines().collect();
    assert_eq!(
        errors[0],
        "lethe: 2 conversations to shred in keyspace chat, from \"a\" to \"c\"; 2 lines cannot be read"
    );
    assert!(errors[1].starts_with(&format!("lethe: {file}:2: it begins or ends")));
    assert!(errors[2].starts_with(&format!("lethe: {file}:5: it is not")));
    assert!(
        errors[3]
            .starts_with("lethe: 2 lines cannot be read; 2 of 2 destroyed; run the command again")
    );
    assert_eq!(errors.len(), 4);
    let printed = lines(&out(&output));
    assert_eq!(printed[0]["line"], 2);
    assert_eq!(printed[1]["error"]["code"], "invalid_request");
    assert_eq!(printed[2]["conversation"], "a");
    assert_eq!(printed[3]["receipt"]["of"], printed[3]["id"]);
    assert_eq!(
        lines(&std::fs::read_to_string(&receipts).unwrap()),
        printed[2..]
    );

    // Put right in its place: the others are not shredded a second time.
    let before = sent(&service.asked()[1]);
    std::fs::write(&file, "a\nb\n{\"conversation\":\"c\"}\n\nd\n").unwrap();
    let output = run(&service, &List::words(&file, &["--receipts", &receipts])).await;
    assert!(output.status.success(), "{}", err(&output));
    let after = sent(&service.asked()[2]);
    assert_eq!([&after[0], &after[2]], [&before[0], &before[1]]);
    let conversations: Vec<_> = after.iter().map(|(_, c)| c.as_str()).collect();
    assert_eq!(conversations, ["a", "b", "c", "d"]);
    assert_eq!(
        std::fs::read_to_string(&receipts).unwrap().lines().count(),
        4
    );
    let mode = std::fs::metadata(&receipts).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "openings tell conversations");
    let words = List::words(&file, &["--receipts", &receipts]);
    let output = run(&service, &words).await;
    assert!(err(&output).contains("exists already"), "{}", err(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_name_leaves_no_file_and_an_unfinished_one_is_not_thrown_away() {
    let unknown = || {
        Say::Json(
            404,
            json!({"code": "unknown_keyspace", "detail": "no such"}),
        )
    };
    let forbidden = Say::Json(403, json!({"code": "forbidden", "detail": "no"}));
    let service = Service::saying([unknown(), keyspace(), forbidden, keyspace()]).await;
    let list = List::from_text("a\nb\n");
    let file = list.path("list");
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("unknown_keyspace"));
    assert!(!list.state().exists());
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("0 of 2 destroyed; run the command again to go on"));
    assert!(list.state().exists());
    std::fs::write(&file, "b\n").unwrap();
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("unfinished"), "{}", err(&output));
    assert_eq!(service.asked().len(), 3);
    std::fs::write(&file, "\n").unwrap();
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(err(&output).contains("names no conversation"));
    let nowhere = ["shred", "chat", "a", "--state", "/nowhere/state"];
    let output = run(&service, &nowhere).await;
    assert!(err(&output).contains("/nowhere/state: No such file"));
    let asked = service.asked();
    assert_eq!(asked.last().unwrap().line, "GET /v1/keyspaces/chat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_go_in_batches_and_stop_at_an_error_of_the_service() {
    let text: String = (0..2_500).map(|n| format!("c{n}\n")).collect();
    let list = List::from_text(&text);
    let file = list.path("list");
    let all_but_the_second = || {
        Say::With(|asked| match sent(asked)[0].1.as_str() {
            "c1000" => (403, json!({"code": "forbidden", "detail": "no"})),
            _ => each(asked, destroyed),
        })
    };
    let replies = std::iter::repeat_with(all_but_the_second).take(3);
    let service = Service::saying([keyspace()].into_iter().chain(replies)).await;
    let output = run(&service, &List::words(&file, &[])).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output).lines().count(), 1_000);
    let error = "lethe: forbidden: no; 1000 of 2500 destroyed; run the command again to go on";
    let errors = err(&output);
    let (summary, rest) = errors.split_once('\n').unwrap();
    assert!(summary.starts_with("lethe: 2500 conversations to shred"));
    assert!(rest.starts_with(error), "{errors}");
    let kept = kept(&list.state());

    let service = Service::saying([destroys(), destroys(), destroys()]).await;
    let output = run(&service, &List::words(&file, &[])).await;
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(out(&output).lines().count(), 2_500);
    let mut sent: Vec<_> = service.asked().iter().flat_map(sent).collect();
    // Two calls are on their way at once.
    sent.sort();
    assert_eq!(sent, kept, "ids are in order of time");
    assert!(!list.state().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_json_shreds_nothing_under_another_name() {
    let service = Service::saying([keyspace(), keyspace(), destroys()]).await;
    let list = List::from_text("\"room 1\"\n[\"a\",\"b\"]\n");
    let file = list.path("list");
    let output = run(&service, &List::words(&file, &[])).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("--format json"), "{}", err(&output));
    assert_eq!(out(&output), "");
    let list = List::from_text("\"room 1\"\n{\"conversation\":\"b\"}\n");
    let file = list.path("list");
    // The first has asked for the keyspace.
    let output = run(&service, &List::words(&file, &["--format", "json"])).await;
    assert!(output.status.success(), "{}", err(&output));
    let asked = service.asked();
    let names: Vec<_> = sent(asked.last().unwrap())
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["room 1", "b"]);
    assert!(err(&output).contains("2 conversations to shred in keyspace chat"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_asks_for_the_keyspace_alone() {
    let service = Service::saying([keyspace(), keyspace()]).await;
    let list = List::from_text("a\nb\na\n\"c\"\n");
    let file = list.path("list");
    let words = List::words(&file, &["--dry-run", "--output", "json"]);
    let output = run(&service, &words).await;
    assert_eq!(output.status.code(), Some(1), "a line cannot be read");
    let printed = &lines(&out(&output))[0];
    assert_eq!(
        (&printed["conversations"], &printed["unreadable"]),
        (&json!(2), &json!(1))
    );
    assert!(!list.state().exists());
    let output = run(&service, &["shred", "chat", "a", "--dry-run"]).await;
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).starts_with("nothing was done: 1 conversation to shred"));
    for asked in service.asked() {
        assert_eq!(asked.line, "GET /v1/keyspaces/chat");
    }
}
