//! The second operator sees why something is asked for, and that a list is the one that was asked for; and
//! approves several at once.

use std::process::Output;

use serde_json::json;

use crate::support::approvals::{
    CHAT, SECOND, approve, certificate, key, listed, records, run_as, second, second_path, start,
    state, use_up, uuid, waits, with,
};
use crate::support::{Api, Role, refused};

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_is_on_record_and_shown() {
    let (dev, api, first, second) = start("");
    let shreds = format!("{CHAT}/shreds");
    let item = |room: &str, reason: &str| json!({ "conversation": room, "reason": reason });
    api.post(&shreds, &item("a", "ticket 7")).await.ok(200);
    let batch = json!({ "items": [item("b", "ticket 8"), item("c", "ticket 8")] });
    api.post(&shreds, &batch).await.ok(200);
    let mixed = json!({ "items": [item("d", "ticket 8"), item("e", "ticket 9")] });
    refused(&api.post(&shreds, &mixed).await, 400, "invalid_request");
    let long = "x".repeat(257);
    for wrong in [&*long, "a\u{7}b"] {
        let answer = api.post(&shreds, &item("d", wrong)).await;
        refused(&answer, 400, "invalid_request");
    }
    let reasons: Vec<_> = records(&dev, "shred")
        .iter()
        .filter(|it| it["outcome"] == "ok")
        .map(|it| it["reason"].clone())
        .collect();
    assert_eq!(reasons, [json!("ticket 7"), json!("ticket 8")]);

    let waiting = waits(&api.post(&shreds, &item("d", "ticket 10")).await);
    let erase = waits(&first.delete(&format!("{CHAT}?reason=the%20end")).await);
    for (id, reason) in [(&waiting, "ticket 10"), (&erase, "the end")] {
        let shown = second.get(&format!("/v1/approvals/{id}")).await.ok(200);
        assert_eq!(shown["reason"], reason);
    }
    let asked = records(&dev, "erase_keyspace");
    assert_eq!(asked[0]["reason"], "the end");
    approve(&second, &waiting).await.ok(200);
    for operation in ["carry_out_approval", "approve"] {
        assert_eq!(records(&dev, operation)[0]["reason"], "ticket 10");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_approved_only_by_who_has_the_same() {
    let mut dev = with("");
    use_up(&dev.api(Role::Operator)).await;
    let list = |name: &str, lines: &str| {
        let path = dev.scratch().join(name);
        std::fs::write(&path, lines).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rooms: String = (0..1_500)
        .map(|number| format!("room-{number}\n"))
        .collect();
    let asked = list("list", &rooms);
    let shred = ["shred", "chat", "--in", &asked, "--reason", "ticket 7"];
    let output = run_as(&dev, None, &shred);
    let said = error(&output);
    assert!(said.contains("1500 wait for a second operator"), "{said}");
    let waiting = listed(&second(&dev)).await;
    assert_eq!(waiting.len(), 2);
    let ids: Vec<&str> = waiting
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    let digests: Vec<&str> = waiting
        .iter()
        .map(|it| it["digest"].as_str().unwrap())
        .collect();
    assert_ne!(digests[0], digests[1]);
    assert_eq!(waiting[0]["digest_key"], json!(null), "not in lists");

    let approver = second_path(&dev);
    let compare = |file: &str| {
        let words = ["approve", ids[1], ids[0], "--list", file];
        run_as(&dev, Some(&approver), &words)
    };
    let other = list("other", &rooms.replace("room-77\n", "room-x\n"));
    let shorter = list("shorter", &rooms.replace("room-1499\n", ""));
    let longer = list("longer", &(rooms.clone() + "another\n"));
    for wrong in [&other, &shorter, &longer] {
        let output = compare(wrong);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let words = ["approve", ids[0], "--expect", digests[1]];
    let output = run_as(&dev, Some(&approver), &words);
    assert!(error(&output).contains("another digest"), "{output:?}");
    for id in &ids {
        assert_eq!(state(&second(&dev), id).await, "approval_required");
    }
    let output = compare(&asked);
    assert!(output.status.success(), "{output:?}");
    for id in &ids {
        assert_eq!(state(&second(&dev), id).await, "approved");
    }
    dev.kill();
    // Neither a conversation nor the digest's key.
    for name in ["lethe.db", "lethe.db-wal"] {
        let bytes = std::fs::read(dev.dir().join(name)).unwrap_or_default();
        assert!(!bytes.windows(8).any(|it| it == b"room-149"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_are_approved_in_one_call() {
    let (dev, api, first, second) = start("");
    let wrapped = key(&api, "chat", "a").await;
    use_up(&api).await;
    let one = waits(&api.shred_as("chat", "a", &uuid(1)).await);
    let other = waits(&api.shred_as("chat", "b", &uuid(2)).await);
    // Asked for by himself.
    let own = waits(&second.delete(CHAT).await);
    let ids = json!({ "ids": [one, own, uuid(99), "x", other] });
    let path = "/v1/approvals";
    refused(&api.post(path, &ids).await, 403, "forbidden");
    refused(
        &second.post(path, &json!({ "ids": [] })).await,
        400,
        "invalid_request",
    );
    let done = second.post(path, &ids).await.ok(200);
    let items = done["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    assert_eq!(
        (&items[0]["id"], &items[0]["state"]),
        (&json!(uuid(1)), &json!("destroyed"))
    );
    assert_eq!(items[1]["error"]["code"], "forbidden");
    assert_eq!(items[2]["error"]["code"], "not_found");
    assert_eq!(items[3]["error"]["code"], "invalid_request");
    assert_eq!(items[4]["id"], json!(uuid(2)));
    refused(&api.unwrap("chat", "a", &wrapped).await, 410, "shredded");
    first.get(CHAT).await.ok(200);
    assert_eq!(state(&first, &own).await, "approval_required");
    let recorded = records(&dev, "approve_many");
    let record = recorded.iter().find(|it| it["outcome"] == "ok").unwrap();
    assert_eq!(record["client"], SECOND);
    assert_eq!(record["requests"], json!([one, uuid(1), other, uuid(2)]));
    assert_eq!(record["refused"], 3);
    // Sent again it says the same.
    let again = second.post(path, &json!({ "ids": [one] })).await.ok(200);
    assert_eq!(again["items"][0]["receipt"], items[0]["receipt"]);
    let elsewhere = certificate(&dev, "elsewhere", crate::support::approvals::ELSEWHERE);
    let hidden = Api::new(&dev, &elsewhere).post(path, &ids).await.ok(200);
    assert_eq!(hidden["items"][0]["error"]["code"], "not_found");
}
