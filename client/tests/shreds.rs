//! Shreds: an id from the start, the same again on every retry, and the road from accepted to
//! destroyed.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod support;

use std::time::Duration;

use lethe_client::{Error, ErrorCode, KeyspaceName, Shred, ShredRequest};
use serde_json::{Value, json};
use support::{Say, Service};

fn chat() -> KeyspaceName {
    "chat".parse().unwrap()
}

fn request(conversation: &str) -> ShredRequest {
    ShredRequest::new(conversation.parse().unwrap())
}

fn destroyed(request: &ShredRequest) -> Value {
    json!({
        "id": request.id().to_string(), "accepted_at": "2026-01-01T00:00:00.000Z",
        "destroyed_at": "2026-01-01T00:00:00.012Z", "leases_end_at": "2026-01-01T00:05:00.000Z",
        "receipt": {"batch": 7}, "opening": "c2FsdA==",
    })
}

fn accepted(request: &ShredRequest) -> Value {
    json!({"id": request.id().to_string(), "state": "accepted",
        "accepted_at": "2026-01-01T00:00:00.000Z"})
}

#[test]
fn a_request_can_be_written_down_and_read_again() {
    let kept = request("room 1");
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(serde_json::from_str::<ShredRequest>(&text).unwrap(), kept);
    assert_ne!(request("room 1").id(), kept.id());
    let bad = text.replace("room 1", "");
    assert!(serde_json::from_str::<ShredRequest>(&bad).is_err());
}

#[tokio::test]
async fn sent_again_with_the_same_id_when_the_answer_is_lost() {
    let request = request("c");
    let service = Service::saying([
        Say::Cut,
        Say::Json(503, json!({"code": "hsm_unavailable"})),
        Say::Json(200, destroyed(&request)),
    ])
    .await;
    let shred = service.client().shred(&chat(), &request).await.unwrap();
    let Shred::Destroyed(done) = shred else {
        panic!("not destroyed");
    };
    assert_eq!(done.receipt, json!({"batch": 7}));
    assert_eq!(done.leases_end_at, "2026-01-01T00:05:00Z".parse().unwrap());
    let asked = service.asked();
    assert_eq!(asked.len(), 3);
    for one in asked {
        assert_eq!(one.line, "POST /v1/keyspaces/chat/shreds");
        let id = request.id().to_string();
        assert_eq!(one.body, json!({"conversation": "c", "id": id}));
    }
}

#[tokio::test]
async fn accepted_is_followed_until_destroyed() {
    let request = request("c");
    let mut end = destroyed(&request);
    end["state"] = json!("destroyed");
    let location = format!("/v1/keyspaces/chat/shreds/{}", request.id());
    let service = Service::saying([
        Say::Json(202, accepted(&request)),
        Say::Json(200, accepted(&request)),
        Say::Json(200, end),
    ])
    .await;
    let client = service.client();
    let patience = Duration::from_secs(5);
    let shred = client.shred_and_wait(&chat(), &request, patience).await;
    assert!(matches!(shred.unwrap(), Shred::Destroyed(_)));
    assert_eq!(service.asked()[1].line, format!("GET {location}"));
}

#[tokio::test]
async fn patience_ends() {
    let request = request("c");
    let service = Service::saying((0..9).map(|_| Say::Json(202, accepted(&request)))).await;
    let client = service.client();
    let patience = Duration::ZERO;
    let shred = client.shred_and_wait(&chat(), &request, patience).await;
    assert!(matches!(shred.unwrap(), Shred::Accepted { id, .. } if id == request.id()));
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn batches_keep_their_order() {
    let requests = ["a", "b", "c"].map(request);
    let items = json!({"items": [
        destroyed(&requests[0]),
        {"error": {"code": "invalid_request", "detail": "no"}},
        accepted(&requests[2]),
    ]});
    let service = Service::saying([Say::Json(200, items)]).await;
    let shreds = service
        .client()
        .shred_batch(&chat(), &requests)
        .await
        .unwrap();
    assert!(matches!(shreds[0], Ok(Shred::Destroyed(_))));
    assert_eq!(
        shreds[1].as_ref().unwrap_err().code,
        ErrorCode::InvalidRequest
    );
    assert!(matches!(shreds[2], Ok(Shred::Accepted { .. })));
    let id = requests[1].id().to_string();
    assert_eq!(
        service.asked()[0].body["items"][1],
        json!({"id": id, "conversation": "b"})
    );
}

#[tokio::test]
async fn nothing_counts_as_destroyed_that_does_not_say_so_in_full() {
    let request = request("c");
    let mut answers = Vec::new();
    for field in [
        "id",
        "accepted_at",
        "destroyed_at",
        "leases_end_at",
        "receipt",
    ] {
        let mut answer = destroyed(&request);
        answer["state"] = json!("destroyed");
        answer.as_object_mut().unwrap().remove(field);
        answers.push(answer);
    }
    let mut unknown = destroyed(&request);
    unknown["state"] = json!("undone");
    answers.extend([unknown, destroyed(&self::request("c"))]);
    let count = answers.len();
    let service = Service::saying(answers.into_iter().map(|answer| Say::Json(200, answer))).await;
    let client = service.client();
    for _ in 0..count {
        let error = client.shred(&chat(), &request).await.unwrap_err();
        assert!(matches!(error, Error::UnexpectedAnswer(_)), "{error}");
    }
}
