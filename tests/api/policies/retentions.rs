//! Shorter retentions that an issue may choose.

use serde_json::{Value, json};

use super::time;
use crate::support::api::Answer;
use crate::support::{Api, Dev, Role, refused};

async fn offer(operator: &Api, retention: &str, retentions: Value) -> Answer {
    let body = json!({ "retention": retention, "granularity": "1s", "rotation": "30d",
        "cache_ttl": "5m", "retentions": retentions });
    operator.put("/v1/keyspaces/brief", &body).await
}

async fn issue(api: &Api, retention: Value) -> Answer {
    let body = json!({ "conversation": "room", "retention": retention });
    api.post("/v1/keyspaces/brief/data-keys", &body).await
}

/// From the border until which a key may encrypt to its expiry, in seconds.
fn life(issued: &Value) -> i64 {
    let (from, to) = (time(&issued["use_until"]), time(&issued["expires_at"]));
    to.duration_since(from).as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_chooses_one_that_is_offered() {
    let mut dev = Dev::start();
    let operator = dev.api(Role::Operator);
    let made = offer(&operator, "90s", json!(["60s", "2s"])).await.ok(201);
    assert_eq!(made["retentions"], json!(["2s", "1m"]));
    for restarted in [false, true] {
        if restarted {
            dev.stop();
            dev.run();
        }
        let api = dev.api(Role::MessageServer);
        for (retention, seconds) in [
            (json!("2s"), 2),
            (json!("60000ms"), 60),
            (json!("90s"), 90),
            (json!(null), 90),
        ] {
            let issued = issue(&api, retention.clone()).await.ok(201);
            assert_eq!(life(&issued), seconds, "{retention}");
        }
        for other in [json!("3s"), json!("2"), json!(2), json!("91s"), json!("")] {
            refused(&issue(&api, other).await, 400, "invalid_request");
        }
    }
    // What is not offered any more opens on until its own expiry; a longer life is never had.
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let kept = issue(&api, json!("60s")).await.ok(201);
    offer(&operator, "90s", json!([])).await.ok(200);
    refused(&issue(&api, json!("60s")).await, 400, "invalid_request");
    let wrapped = kept["wrapped_key"].as_str().unwrap();
    let opened = api.unwrap("brief", "room", wrapped).await.ok(200);
    assert_eq!(opened["expires_at"], kept["expires_at"]);
    for bad in [
        json!(["90s"]),
        json!(["91s"]),
        json!(["2s", "2s"]),
        json!(["500ms"]),
        json!(["0s"]),
        json!(["1s", "2s", "3s", "4s", "5s", "6s", "7s", "8s", "9s"]),
        json!("2s"),
        json!([2]),
    ] {
        let refusal = offer(&operator, "90s", bad.clone()).await;
        refused(&refusal, 400, "invalid_request");
    }
    // Of another width each takes buckets of its own in the HSM.
    let body = json!({ "retention": "999900s", "granularity": "101s", "rotation": "30d",
        "cache_ttl": "5m", "retentions": ["10403s", "999000s"] });
    let many = operator.put("/v1/keyspaces/many", &body).await;
    refused(&many, 409, "too_many_buckets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_life_ends_while_the_long_one_goes_on() {
    let dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    offer(&operator, "1h", json!(["2s"])).await.ok(201);
    let short = issue(&api, json!("2s")).await.ok(201);
    let long = issue(&api, json!("1h")).await.ok(201);
    let opens = async |issued: &Value| {
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        api.unwrap("brief", "room", wrapped).await
    };
    let mut answer = opens(&short).await;
    while answer.status == 200 {
        answer = opens(&short).await;
    }
    refused(&answer, 410, "expired");
    let now = jiff::Timestamp::now();
    assert!(now >= time(&short["expires_at"]), "not before its time");
    opens(&long).await.ok(200);
}
