//! What concerns the whole deployment needs a grant of all of it; a clock that jumped ahead and a move
//! to another HSM take two operators.

use serde_json::json;

use crate::support::approvals::{
    CHAT, ELSEWHERE, approve, certificate, listed, second, state, waits, with, withdraw,
};
use crate::support::{Api, Role, eventually, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_some_keyspaces_has_no_say_in_all() {
    let dev = with("");
    let elsewhere = Api::new(&dev, &certificate(&dev, "elsewhere", ELSEWHERE));
    for path in [
        "/v1/clock/confirmations",
        "/v1/root/rotations",
        "/v1/hsm/moves",
    ] {
        let answer = elsewhere.post_bytes(path, "").await;
        refused(&answer, 403, "forbidden");
        assert!(answer.text("detail").contains("(*)"), "{}", answer.body);
    }
    elsewhere.set_keyspace("team-a", "72h", "1h").await.ok(201);
    refused(&elsewhere.get(CHAT).await, 403, "forbidden");
    let first = dev.api(Role::Operator);
    first.post_bytes("/v1/root/rotations", "").await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_say_that_a_clock_is_right_that_jumped_ahead() {
    let mut dev = with("");
    dev.stop();
    dev.set_wall_clock("+0");
    dev.run();
    dev.set_wall_clock("+7776000000");
    eventually("it is doubted", async || {
        dev.metric("lethe_clock_suspect").await == 1
    })
    .await;
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    let elsewhere = Api::new(&dev, &certificate(&dev, "elsewhere", ELSEWHERE));
    refused(&api.issue("chat", "room").await, 503, "clock_suspect");
    let confirm = "/v1/clock/confirmations";
    let id = waits(&first.post_bytes(confirm, "").await);
    assert_eq!(waits(&first.post_bytes(confirm, "").await), id);
    let shown = &listed(&second).await[0];
    assert_eq!(shown["kind"], "clock_confirmation");
    assert_eq!(shown["keyspace"], json!(null));
    assert!(listed(&elsewhere).await.is_empty());
    refused(&approve(&elsewhere, &id).await, 404, "not_found");
    refused(&withdraw(&elsewhere, &id).await, 404, "not_found");
    refused(&approve(&first, &id).await, 403, "forbidden");
    refused(&api.issue("chat", "room").await, 503, "clock_suspect");
    let done = approve(&second, &id).await.ok(200);
    assert_eq!(done["was"], "ahead");
    eventually("keys again", async || {
        api.issue("chat", "room").await.status == 201
    })
    .await;
    assert_eq!(approve(&second, &id).await.ok(200)["was"], "trusted");
    assert_eq!(state(&first, &id).await, "approved");
    // Nothing is doubted: nothing to approve.
    let again = first.post_bytes(confirm, "").await.ok(200);
    assert_eq!(again["was"], "trusted");
}
