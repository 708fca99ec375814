//! Shreds: an id from the start, the same again on every retry, and the way from accepted to
//! destroyed.

use std::time::Duration;

use crate::support::{Say, Service};
use lethe_client::{Error, ErrorCode, KeyspaceName, Shred, ShredId, ShredRequest};
use serde_json::{Value, json};

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

#[test]
fn ids_are_in_order_of_time() {
    let ids: Vec<_> = (0..10_000).map(|_| ShredId::random()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(ids[0].to_string().as_bytes()[14], b'7');
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
    end.as_object_mut().unwrap().remove("opening");
    let mut first = accepted(&request);
    first["opening"] = json!("c2FsdA==");
    let location = format!("/v1/keyspaces/chat/shreds/{}", request.id());
    let service = Service::saying([
        Say::Json(202, first),
        Say::Json(200, accepted(&request)),
        Say::Json(200, end),
    ])
    .await;
    let client = service.client();
    let limit = Duration::from_secs(5);
    let shred = client.shred_and_wait(&chat(), &request, limit).await;
    let Shred::Destroyed(done) = shred.unwrap() else {
        panic!("not destroyed");
    };
    assert_eq!(done.opening, "c2FsdA==", "told once is enough");
    assert_eq!(service.asked()[1].line, format!("GET {location}"));
}

#[tokio::test]
async fn waiting_ends() {
    let request = request("c");
    let service = Service::saying((0..9).map(|_| Say::Json(202, accepted(&request)))).await;
    let client = service.client();
    let limit = Duration::ZERO;
    let shred = client.shred_and_wait(&chat(), &request, limit).await;
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

#[tokio::test]
async fn acceptance_alone_is_asked_for() {
    let requests = ["a", "b"].map(request);
    let items = json!({"items": [accepted(&requests[0]), destroyed(&requests[1])]});
    let service = Service::saying([Say::Json(202, items.clone()), Say::Json(200, items)]).await;
    let client = service.client();
    let shreds = client.accept_shred_batch(&chat(), &requests).await.unwrap();
    assert!(matches!(shreds[0], Ok(Shred::Accepted { .. })));
    assert!(matches!(shreds[1], Ok(Shred::Destroyed(_))));
    client.shred_batch(&chat(), &requests).await.unwrap();
    let asked = service.asked();
    assert_eq!(asked[0].headers["prefer"], "respond-async");
    assert_eq!(asked[1].headers.get("prefer"), None);
    assert_eq!(asked[0].body, asked[1].body);
}

#[tokio::test]
async fn erasures_bear_an_id_and_are_followed() {
    let [erased, dropped] = ["", ""].map(|_| request("c"));
    let mut end = destroyed(&erased);
    end["state"] = json!("destroyed");
    end.as_object_mut().unwrap().remove("opening");
    let service = Service::saying([
        Say::Cut,
        Say::Json(503, json!({"code": "store_unavailable"})),
        Say::Header(
            202,
            ("location", "/v1/keyspaces/chat/shreds/x"),
            accepted(&erased),
        ),
        Say::Json(200, accepted(&erased)),
        Say::Json(200, end),
        Say::Json(200, destroyed(&dropped)),
        Say::Json(200, destroyed(&dropped)),
        Say::Json(409, json!({"code": "conflict"})),
    ])
    .await;
    let client = service.client();
    let shred = client
        .erase_keyspace(&chat(), erased.id(), None)
        .await
        .unwrap();
    assert!(matches!(shred, Shred::Accepted { id, .. } if id == erased.id()));
    let limit = Duration::MAX;
    let shred = client.wait_until_destroyed(&chat(), shred, limit).await;
    let Shred::Destroyed(done) = shred.unwrap() else {
        panic!("not destroyed");
    };
    assert_eq!(done.id, erased.id());
    assert_eq!(done.opening, Value::Null);
    let shred = client.drop_version(&chat(), 4, dropped.id(), None).await;
    assert_eq!(shred.unwrap().id(), dropped.id());
    let error = client.drop_version(&chat(), 4, erased.id(), None).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::UnexpectedAnswer(_)), "{error}");
    let error = client.drop_version(&chat(), 4, erased.id(), None).await;
    assert_eq!(error.unwrap_err().code(), Some(&ErrorCode::Conflict));

    let asked = service.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    let erase = format!("DELETE /v1/keyspaces/chat?id={}", erased.id());
    let status = format!("GET /v1/keyspaces/chat/shreds/{}", erased.id());
    let drop = |id| format!("DELETE /v1/keyspaces/chat/versions/4?id={id}");
    assert_eq!(
        lines,
        [
            &erase,
            &erase,
            &erase,
            &status,
            &status,
            &drop(dropped.id()),
            &drop(erased.id()),
            &drop(erased.id()),
        ]
    );
}

#[tokio::test]
async fn what_waits_for_a_second_operator_is_no_success() {
    const APPROVAL: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";
    let requests = ["a", "b"].map(request);
    let waits = json!({"code": "approval_required", "state": "approval_required", "id": APPROVAL,
        "requests": [requests[0].id()]});
    let mut some = waits.clone();
    some["items"] = json!([
        {"id": requests[0].id(), "state": "approval_required", "approval": APPROVAL},
        destroyed(&requests[1]),
    ]);
    let service = Service::saying([
        Say::Json(202, waits.clone()),
        Say::Json(202, some),
        Say::Json(202, waits),
        Say::Json(
            200,
            json!({"approvals": [{"id": APPROVAL, "kind": "shred", "keyspace": "chat",
            "asked_by": "spiffe://a/b", "asked_at": "now", "expires_at": "then"}],
            "next": APPROVAL}),
        ),
        Say::Json(200, json!({"approvals": []})),
        Say::Cut,
        Say::Json(200, destroyed(&requests[0])),
    ])
    .await;
    let client = service.client();
    let error = client.shred(&chat(), &requests[0]).await.unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::ApprovalRequired));
    let detail = error.to_string();
    assert!(
        detail.contains(&format!("lethe approve {APPROVAL}")),
        "{detail}"
    );
    let shreds = client.shred_batch(&chat(), &requests).await.unwrap();
    let problem = shreds[0].as_ref().unwrap_err();
    assert_eq!(problem.code, ErrorCode::ApprovalRequired);
    assert!(problem.detail.contains(APPROVAL), "{problem}");
    assert!(matches!(shreds[1], Ok(Shred::Destroyed(_))));
    let error = client.erase_keyspace(&chat(), requests[0].id(), None).await;
    assert_eq!(
        error.unwrap_err().code(),
        Some(&ErrorCode::ApprovalRequired)
    );

    let waiting = client.approvals().await.unwrap();
    assert_eq!(waiting.len(), 1);
    let done = client.approve(waiting[0].id).await.unwrap();
    assert_eq!(done["id"], json!(requests[0].id()));
    let lines = service.asked();
    let lines: Vec<_> = lines.iter().map(|asked| asked.line.as_str()).collect();
    let page = format!("GET /v1/approvals?after={APPROVAL}");
    let approve = format!("POST /v1/approvals/{APPROVAL}");
    assert_eq!(lines[3..], ["GET /v1/approvals", &page, &approve, &approve]);
}
