//! The calls: what goes over the wire and what is made of the answers.

use crate::support::{Say, Service};
use lethe_client::{
    Conversation, Error, ErrorCode, KeyspaceName, KeyspaceSettings, PutKeyspace, UnwrapRequest,
};
use serde_json::{Value, json};

const KEY: &str = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";

fn chat() -> KeyspaceName {
    "chat".parse().unwrap()
}

fn conversation(id: &str) -> Conversation {
    id.parse().unwrap()
}

fn request(id: &str) -> UnwrapRequest {
    UnwrapRequest::new(conversation(id), "lethe:v1:AAAA".parse().unwrap())
}

fn issued(id: &str) -> Value {
    json!({
        "conversation": id, "data_key": KEY, "wrapped_key": "lethe:v1:BBBB", "version": 3,
        "use_until": "2026-01-01T01:00:00.000Z", "cache_until": "2026-01-01T00:05:00.250Z",
        "expires_at": "2026-01-04T01:00:00.000Z", "a_field_of_tomorrow": 1,
    })
}

fn code(error: Error) -> ErrorCode {
    error.code().cloned().unwrap()
}

#[tokio::test]
async fn issue_and_unwrap() {
    let service = Service::saying([
        Say::Json(201, issued("c \"1\"")),
        Say::Json(200, issued("c2")),
    ])
    .await;
    let client = service.client();
    let key = client
        .issue(&chat(), &conversation("c \"1\""))
        .await
        .unwrap();
    assert_eq!(key.data_key.expose(), &[0xab; 32]);
    assert_eq!(key.wrapped_key.as_str(), "lethe:v1:BBBB");
    assert_eq!(key.version, 3);
    assert_eq!(key.cache_until, "2026-01-01T00:05:00.25Z".parse().unwrap());
    let mut request = request("c2");
    request.purpose = Some("delivery".parse().unwrap());
    let opened = client.unwrap(&chat(), &request).await.unwrap();
    assert!(opened.data_key.same_as(&key.data_key));

    let asked = service.asked();
    assert_eq!(asked[0].line, "POST /v1/keyspaces/chat/data-keys");
    assert_eq!(asked[0].body, json!({"conversation": "c \"1\""}));
    assert_eq!(asked[0].headers["content-type"], "application/json");
    assert_eq!(asked[1].line, "POST /v1/keyspaces/chat/data-keys/unwrap");
    assert_eq!(
        asked[1].body,
        json!({"conversation": "c2", "wrapped_key": "lethe:v1:AAAA", "purpose": "delivery"})
    );
}

#[tokio::test]
async fn rewrap_sends_no_purpose() {
    let answer = json!({"conversation": "c", "wrapped_key": "lethe:v1:CCCC", "version": 4,
        "expires_at": "2026-01-04T01:00:00.000Z"});
    let service = Service::saying([Say::Json(200, answer)]).await;
    let mut request = request("c");
    request.purpose = Some("delivery".parse().unwrap());
    let key = service.client().rewrap(&chat(), &request).await.unwrap();
    assert_eq!(
        (key.wrapped_key.as_str(), key.version),
        ("lethe:v1:CCCC", 4)
    );
    assert_eq!(
        service.asked()[0].line,
        "POST /v1/keyspaces/chat/data-keys/rewrap"
    );
    assert_eq!(service.asked()[0].body.get("purpose"), None);
}

#[tokio::test]
async fn batches_are_split_and_stay_in_order() {
    let ids: Vec<_> = (0..1_002).map(|n| conversation(&format!("c{n}"))).collect();
    let mut items: Vec<_> = ids.iter().map(|id| issued(id.as_str())).collect();
    items[1_001] = json!({"error": {"code": "shredded", "detail": "gone"}});
    let last = items.split_off(1_000);
    let service = Service::saying([
        Say::Json(200, json!({"items": items})),
        Say::Json(200, json!({"items": last})),
    ])
    .await;
    let keys = service.client().issue_batch(&chat(), &ids).await.unwrap();
    assert_eq!(keys.len(), 1_002);
    assert!(keys[..1_001].iter().all(Result::is_ok));
    assert_eq!(keys[1_001].as_ref().unwrap_err().code, ErrorCode::Shredded);
    let sent: Vec<_> = service
        .asked()
        .iter()
        .map(|asked| asked.body["items"].as_array().unwrap().len())
        .collect();
    assert_eq!(sent, [1_000, 2]);
}

#[tokio::test]
async fn batch_unwrap() {
    let refused = json!({"error": {"code": "expired", "detail": "its time has come"}});
    let answer = json!({"items": [issued("c1"), refused]});
    let service = Service::saying([Say::Json(200, answer)]).await;
    let requests = [request("c1"), request("c2")];
    let keys = service
        .client()
        .unwrap_batch(&chat(), &requests)
        .await
        .unwrap();
    assert!(keys[0].is_ok());
    assert_eq!(keys[1].as_ref().unwrap_err().code, ErrorCode::Expired);
    assert_eq!(
        service
            .client()
            .unwrap_batch(&chat(), &[])
            .await
            .unwrap()
            .len(),
        0
    );
    assert_eq!(service.asked().len(), 1, "an empty batch needs no call");
}

/// Safe to send again: it opens nothing, and what it makes is as good as what was lost.
#[tokio::test]
async fn batch_rewrap_is_tried_again_and_split() {
    let rewrapped = |id: &str| {
        json!({"conversation": id, "wrapped_key": "lethe:v1:CCCC", "version": 4,
            "expires_at": "2026-01-04T01:00:00.000Z"})
    };
    let requests: Vec<_> = (0..1_001).map(|n| request(&format!("c{n}"))).collect();
    let mut items: Vec<_> = (0..1_001).map(|n| rewrapped(&format!("c{n}"))).collect();
    items[1] = json!({"error": {"code": "version_retired", "detail": "gone"}});
    let last = items.split_off(1_000);
    let service = Service::saying([
        Say::Json(503, json!({"code": "overloaded"})),
        Say::Cut,
        Say::Json(200, json!({"items": items})),
        Say::Json(200, json!({"items": last})),
    ])
    .await;
    let client = service.client();
    let keys = client.rewrap_batch(&chat(), &requests).await.unwrap();
    assert_eq!(keys.len(), 1_001);
    assert_eq!(
        keys[1].as_ref().unwrap_err().code,
        ErrorCode::VersionRetired
    );
    let done = keys.iter().filter_map(|key| key.as_ref().ok());
    assert_eq!(done.filter(|key| key.version == 4).count(), 1_000);
    let asked = service.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[0].body, asked[2].body);
    assert_eq!(
        asked[3].body,
        json!({"items": [{"conversation": "c1000", "wrapped_key": "lethe:v1:AAAA"}]})
    );
    assert_eq!(asked[3].line, "POST /v1/keyspaces/chat/data-keys/rewrap");
}

#[tokio::test]
async fn a_rewrapped_key_of_another_conversation_is_refused() {
    let answer = json!({"conversation": "c2", "wrapped_key": "lethe:v1:CCCC", "version": 4,
        "expires_at": "2026-01-04T01:00:00.000Z"});
    let batch = json!({"items": [answer]});
    let service = Service::saying([Say::Json(200, answer), Say::Json(200, batch)]).await;
    let client = service.client();
    let error = client.rewrap(&chat(), &request("c1")).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedAnswer(_)), "{error}");
    let error = client.rewrap_batch(&chat(), &[request("c1")]).await;
    assert!(matches!(error, Err(Error::UnexpectedAnswer(_))));
}

#[tokio::test]
async fn answers_that_break_the_contract_are_refused() {
    let without = |field: &str| {
        let mut answer = issued("c");
        answer.as_object_mut().unwrap().remove(field);
        answer
    };
    let with = |field: &str, value: Value| {
        let mut answer = issued("c");
        answer[field] = value;
        answer
    };
    let mut answers: Vec<Value> = ["data_key", "wrapped_key", "use_until", "version"]
        .map(without)
        .to_vec();
    answers.extend([
        issued("another"),
        with("data_key", json!("AAAA")),
        with("wrapped_key", json!("vault:v1:xyz")),
        with("expires_at", json!("tomorrow")),
        with("version", json!(-1)),
        json!([]),
    ]);
    let mut script: Vec<_> = answers
        .into_iter()
        .map(|answer| Say::Json(201, answer))
        .collect();
    script.extend([Say::Text(201, ""), Say::Text(201, "<html>")]);
    let count = script.len();
    let service = Service::saying(script).await;
    let client = service.client();
    for _ in 0..count {
        let error = client.issue(&chat(), &conversation("c")).await.unwrap_err();
        assert!(matches!(error, Error::UnexpectedAnswer(_)), "{error}");
        assert!(!error.to_string().contains("q6ur"), "{error}");
    }
    assert_eq!(service.asked().len(), count, "none is asked twice");
}

#[tokio::test]
async fn a_batch_answered_in_another_order_or_number_is_refused() {
    let service = Service::saying([
        Say::Json(200, json!({"items": [issued("c2"), issued("c1")]})),
        Say::Json(200, json!({"items": [issued("c1")]})),
    ])
    .await;
    let client = service.client();
    let ids = [conversation("c1"), conversation("c2")];
    for _ in 0..2 {
        let error = client.issue_batch(&chat(), &ids).await.unwrap_err();
        assert!(matches!(error, Error::UnexpectedAnswer(_)), "{error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let long = "x".repeat((4 << 20) + 1);
    let service = Service::saying([Say::Json(201, json!(long))]).await;
    let error = service.client().issue(&chat(), &conversation("c")).await;
    assert!(error.unwrap_err().to_string().contains("4 MiB"));
}

#[tokio::test]
async fn refusals_keep_their_code_and_request_id() {
    let service = Service::saying([
        Say::Header(
            410,
            ("x-request-id", "r-17"),
            json!({"code": "expired", "detail": "over", "status": 410}),
        ),
        Say::Json(418, json!({"code": "teapot"})),
        Say::Text(502, "<html>proxy</html>"),
    ])
    .await;
    let client = service.client();
    let Error::Service(problem) = client.unwrap(&chat(), &request("c")).await.unwrap_err() else {
        panic!("it answered");
    };
    assert_eq!(problem.code, ErrorCode::Expired);
    assert_eq!(problem.status, Some(410));
    assert_eq!(problem.request_id.as_deref(), Some("r-17"));
    for expected in ["teapot", "http_502"] {
        let error = client.unwrap(&chat(), &request("c")).await.unwrap_err();
        assert_eq!(code(error).as_str(), expected);
    }
}

#[tokio::test]
async fn keyspaces_in_pages_and_one_and_put() {
    let keyspace = |name: &str| {
        json!({"name": name, "retention": "72h", "granularity": "1h", "rotation": "30d",
            "cache_ttl": "5m", "versions": [1], "live_buckets": 3})
    };
    let service = Service::saying([
        Say::Json(
            200,
            json!({"keyspaces": [keyspace("a"), keyspace("b")], "next": "b"}),
        ),
        Say::Json(200, json!({"keyspaces": [keyspace("c")]})),
        Say::Json(200, keyspace("a")),
        Say::Json(201, keyspace("d")),
        Say::Json(200, keyspace("d")),
        Say::Json(503, json!({"code": "store_unavailable"})),
    ])
    .await;
    let client = service.client();
    let all = client.keyspaces().await.unwrap();
    let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(all[0].more["live_buckets"], 3);
    let one = client.keyspace(&"a".parse().unwrap()).await.unwrap();
    let settings: KeyspaceSettings = one.settings;
    assert_eq!(settings.retention, "72h");
    let name = "d".parse().unwrap();
    for expected in [PutKeyspace::Created, PutKeyspace::Changed] {
        assert_eq!(
            client.put_keyspace(&name, &settings).await.unwrap(),
            expected
        );
    }
    let error = client.put_keyspace(&name, &settings).await.unwrap_err();
    assert_eq!(code(error), ErrorCode::StoreUnavailable);

    let asked = service.asked();
    assert_eq!(asked[1].line, "GET /v1/keyspaces?after=b");
    assert_eq!(asked[3].line, "PUT /v1/keyspaces/d");
    assert_eq!(
        asked[3].body,
        json!({"retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "5m"})
    );
    assert_eq!(asked.len(), 6, "a put is not repeated");
}

#[tokio::test]
async fn status() {
    let service = Service::saying([Say::Json(200, json!({"ready": true}))]).await;
    assert_eq!(service.client().status().await.unwrap()["ready"], true);
    assert_eq!(service.asked()[0].line, "GET /v1/status");
}

#[tokio::test]
async fn verification_keys() {
    let key = json!({"id": "51".repeat(16), "purpose": "receipt", "algorithm": "Ed25519",
        "public_key": KEY, "pem": "-----BEGIN PUBLIC KEY-----", "a_field_of_tomorrow": 1});
    let mut successor = key.clone();
    successor["succeeds"] = json!("52".repeat(16));
    let service = Service::saying([
        Say::Json(200, json!({"keys": [key, successor]})),
        Say::Json(200, json!({"keys": [{"id": 7}]})),
    ])
    .await;
    let keys = service.client().verification_keys().await.unwrap();
    assert_eq!(keys[0].purpose, "receipt");
    assert_eq!(keys[0].public_key, KEY);
    assert_eq!(keys[0].succeeds, None);
    assert_eq!(keys[1].succeeds, Some("52".repeat(16)));
    assert_eq!(service.asked()[0].line, "GET /v1/verification-keys");
    let error = service.client().verification_keys().await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedAnswer(_)), "{error}");
}

#[tokio::test]
async fn rotations() {
    let keyspace = json!({"name": "chat", "retention": "72h", "granularity": "1h",
        "rotation": "30d", "cache_ttl": "5m", "live_buckets": 3,
        "versions": [{"version": 1}, {"version": 2}]});
    let service = Service::saying([
        Say::Json(201, keyspace),
        Say::Json(
            409,
            json!({"code": "conflict", "detail": "eight versions live"}),
        ),
        Say::Json(200, json!({"sequence": 8})),
        Say::Json(503, json!({"code": "hsm_unavailable"})),
    ])
    .await;
    let client = service.client();
    let rotated = client.rotate_keyspace(&chat()).await.unwrap();
    assert_eq!(rotated.more["versions"][1]["version"], 2);
    let error = client.rotate_keyspace(&chat()).await.unwrap_err();
    assert_eq!(code(error), ErrorCode::Conflict);
    assert_eq!(client.rotate_root().await.unwrap()["sequence"], 8);
    let error = client.rotate_root().await.unwrap_err();
    assert_eq!(code(error), ErrorCode::HsmUnavailable);

    let asked = service.asked();
    assert_eq!(asked[0].line, "POST /v1/keyspaces/chat/versions");
    assert_eq!(asked[0].body, Value::Null);
    assert_eq!(asked[2].line, "POST /v1/root/rotations");
    assert_eq!(asked.len(), 4, "an order is not repeated");
}
