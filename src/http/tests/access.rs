//! Who may call what.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use hyper::{Method, Request, header};
use serde_json::{Value, json};

use super::world::{Client, Reply, World, described, refused, request};
use crate::http::routes::{Route, routes};
use crate::identity::Role;

/// Clients with a grant, and their roles.
const GRANTED: [(&str, Role); 3] = [
    ("message-server", Role::MessageServer),
    ("operator", Role::Operator),
    ("auditor", Role::Auditor),
];

/// Who may call an operation, as docs/reference/http-api.md says. One that is not here fails the test.
fn allowed(operation: &str) -> &'static [Role] {
    use Role::{Auditor, MessageServer, Operator};
    match operation {
        "issue" | "unwrap" => &[MessageServer],
        "rewrap" | "shred" | "shred_across" | "show_approval" | "withdraw_approval" => {
            &[MessageServer, Operator]
        }
        "list_keyspaces" | "show_keyspace" | "show_shred" | "list_expiries"
        | "verification_keys" | "openapi" => &[MessageServer, Operator, Auditor],
        "put_keyspace" | "erase_keyspace" | "rotate_keyspace" | "drop_version" | "rotate_root"
        | "confirm_clock" | "list_approvals" | "approve_many" | "approve" | "move_hsm"
        | "show_hsm_move" => &[Operator],
        "status" => &[Operator, Auditor],
        _ => panic!("say here who may call {operation}"),
    }
}

/// A call with a body and a query that no endpoint takes: a role that may call hears that.
async fn call(client: &Client, route: &Route, keyspace: &str) -> Reply {
    let path = route.path.replace("{keyspace}", keyspace);
    let path = path.replace("{id}", "x").replace("{version}", "x");
    let query = match route.method {
        Method::DELETE => "?x=x",
        _ => "",
    };
    let path = format!("{path}{query}");
    client
        .send(request(&route.method, &path, Some(&json!({}))))
        .await
}

#[test]
fn the_roles_are_those_that_are_documented() {
    let roles =
        |route: &Route| -> BTreeSet<&str> { route.roles.iter().map(|it| it.name()).collect() };
    let found: BTreeMap<_, _> = routes()
        .iter()
        .map(|it| (it.operation, roles(it)))
        .collect();
    let names = |operation| allowed(operation).iter().map(|it| it.name()).collect();
    let wanted: BTreeMap<_, BTreeSet<_>> = found.keys().map(|it| (*it, names(it))).collect();
    assert_eq!(found, wanted);
    for route in routes() {
        let named = described(&route)["parameters"].as_array().into_iter();
        let named = named.flatten().filter(|it| it["in"] == "path");
        let named: BTreeSet<_> = named.map(|it| it["name"].as_str().unwrap()).collect();
        let used: BTreeSet<_> = route.path.split(['{', '}']).skip(1).step_by(2).collect();
        assert_eq!(named, used, "{}", route.path);
    }
}

#[tokio::test]
async fn every_route_refuses_the_wrong_roles_and_strangers() {
    let world = World::open().await;
    let stranger = world.client("stranger");
    for route in routes() {
        for (name, role) in GRANTED {
            let reply = call(&world.client(name), &route, "chat").await;
            if allowed(route.operation).contains(&role) {
                // Some take no body: they do what they are there for. There is no HSM to move to.
                let no_other_hsm = route.operation == "move_hsm" && reply.status == 409;
                assert!(
                    no_other_hsm || [200, 201, 400].contains(&reply.status),
                    "{name} {}: {reply:?}",
                    route.operation
                );
            } else {
                refused(&reply, 403, "forbidden");
            }
        }
        refused(&call(&stranger, &route, "chat").await, 403, "forbidden");
    }
    assert!(world.process.audit().contains("\"outcome\":\"forbidden\""));
}

fn names(listed: &Value) -> Vec<&str> {
    let listed = listed["keyspaces"].as_array().unwrap().iter();
    listed.map(|it| it["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_route_refuses_foreign_keyspaces() {
    let world = World::open().await;
    let operator = world.client("operator");
    let before = operator.set_keyspace("vault", "72h", "1h").await.ok(201);
    world.process.grant(&["chat"]);
    let mut tried = 0;
    for (name, _) in GRANTED {
        let client = world.client(name);
        for route in routes() {
            if route.path.contains("{keyspace}") {
                // One that is there, and one that is not: the answer does not say which.
                for keyspace in ["vault", "absent", "chat2"] {
                    let reply = call(&client, &route, keyspace).await;
                    refused(&reply, 403, "forbidden");
                    tried += 1;
                }
            }
            // What concerns the whole deployment needs a grant of all of it.
            if ["rotate_root", "confirm_clock", "move_hsm"].contains(&route.operation) {
                refused(&call(&client, &route, "").await, 403, "forbidden");
            }
        }
        let listed = client.get("/v1/keyspaces").await.ok(200);
        assert_eq!(names(&listed), ["chat"]);
    }
    assert!(tried >= 90, "{tried}");
    let across = json!({ "conversation": "room", "keyspaces": ["chat", "vault"] });
    let across = operator.post("/v1/shreds", &across).await;
    refused(&across, 403, "forbidden");
    assert_eq!(names(&operator.get("/v1/status").await.ok(200)), ["chat"]);
    world.process.grant(&["*"]);
    let after = operator.get("/v1/keyspaces/vault").await.ok(200);
    assert_eq!(after["versions"], before["versions"]);
}

#[tokio::test]
async fn keyspaces_are_granted_by_name_and_by_what_they_begin_with() {
    let world = World::open().await;
    world.process.grant(&["chat", "team-*"]);
    let operator = world.client("operator");
    operator.set_keyspace("team-a", "72h", "1h").await.ok(201);
    let vault = operator.set_keyspace("vault", "72h", "1h").await;
    refused(&vault, 403, "forbidden");
    let client = world.client("message-server");
    client.issue("team-a", "room").await.ok(201);
    let listed = client.get("/v1/keyspaces").await.ok(200);
    assert_eq!(names(&listed), ["chat", "team-a"]);
}

/// On connections that are open: the next request goes by the new rules.
#[tokio::test]
async fn a_client_that_loses_its_grant_is_a_stranger_from_its_next_request_on() {
    let world = World::open().await;
    let client = world.client("auditor");
    client.get("/v1/keyspaces").await.ok(200);
    world.process.revoke();
    refused(&client.get("/v1/keyspaces").await, 403, "forbidden");
    let used = "lethe_budget_used{budget=\"strangers\"}";
    assert_eq!(world.metric(used), 1);
    world.process.grant(&["*"]);
    client.get("/v1/keyspaces").await.ok(200);
    assert_eq!(world.metric(used), 0);
}

#[tokio::test]
async fn what_a_web_page_asks_for_is_refused() {
    let world = World::open().await;
    for route in routes() {
        let caller = GRANTED.iter().find(|(_, it)| route.roles.contains(it));
        let client = world.client(caller.unwrap().0);
        let path = route.path.replace("{keyspace}", "chat");
        let path = path.replace("{id}", "x").replace("{version}", "x");
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            let request = Request::builder().method(&route.method).uri(&path);
            let request = request.header(name, value).body(Body::empty());
            refused(&client.send(request.unwrap()).await, 403, "forbidden");
        }
    }
    // A person who types an address.
    let operator = world.client("operator");
    let typed = Request::get("/v1/status").header("sec-fetch-site", "none");
    operator
        .send(typed.body(Body::empty()).unwrap())
        .await
        .ok(200);
    // As a form sends it.
    let form = Request::post("/v1/keyspaces/chat/versions");
    let form = form.header(header::CONTENT_TYPE, "text/plain");
    let sent = operator.send(form.body("a=b".into()).unwrap()).await;
    refused(&sent, 415, "unsupported_media_type");
    let chat = operator.get("/v1/keyspaces/chat").await.ok(200);
    assert_eq!(chat["versions"].as_array().unwrap().len(), 1);
}
