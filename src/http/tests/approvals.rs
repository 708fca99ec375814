//! Approvals as their callers see them.

use serde_json::{Value, json};

use super::world::{World, refused};

#[tokio::test]
async fn a_list_names_nothing_that_its_caller_may_not_see() {
    let world = World::approving().await;
    let operator = world.client("operator");
    for name in ["hidden", "hidden-too", "other"] {
        operator.set_keyspace(name, "72h", "1h").await.ok(201);
    }
    let mut ids = Vec::new();
    for name in ["hidden", "chat", "hidden-too", "other"] {
        let waiting = operator.delete(&format!("/v1/keyspaces/{name}")).await;
        ids.push(waiting.ok(202)["id"].as_str().unwrap().to_owned());
    }
    world.process.grant(&["chat", "other"]);
    let page = async |after: &str| {
        let path = format!("/v1/approvals?limit=1{after}");
        let page = operator.get(&path).await.ok(200);
        let text = page.to_string();
        assert!(!text.contains(&ids[0]) && !text.contains(&ids[2]), "{text}");
        page
    };
    let first = page("").await;
    assert_eq!(first["approvals"][0]["id"], *ids[1]);
    assert_eq!(first["next"], *ids[1]);
    let last = page(&format!("&after={}", ids[1])).await;
    assert_eq!(last["approvals"][0]["id"], *ids[3]);
    assert_eq!(last["next"], Value::Null);
}

#[tokio::test]
async fn to_withdraw_twice_is_to_withdraw_once() {
    let world = World::approving().await;
    let (operator, second) = (world.client("operator"), world.client("second-operator"));
    let waiting = operator.delete("/v1/keyspaces/chat").await.ok(202);
    let path = format!("/v1/approvals/{}", waiting["id"].as_str().unwrap());
    let first = operator.delete(&path).await.ok(200);
    assert_eq!(first["state"], "withdrawn");
    assert_eq!(second.delete(&path).await.ok(200), first);
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_in_every_call() {
    let world = World::approving().await;
    let operator = world.client("operator");
    for id in ["1", "x", "0190d3a4-7c1e-7000-8000-00000000000g"] {
        let path = format!("/v1/approvals/{id}");
        refused(&operator.get(&path).await, 400, "invalid_request");
        refused(&operator.delete(&path).await, 400, "invalid_request");
        refused(
            &operator.post(&path, &json!({})).await,
            400,
            "invalid_request",
        );
    }
}
