//! What every operation of the table of routes does, and what a path and a method mean.

use std::collections::HashSet;

use axum::body::Body;
use hyper::{Method, Request};
use serde_json::Value;

use super::cases::Worlds;
use super::world::{Reply, World, described, refused, request};
use crate::http::routes::routes;

/// Every member of `wanted` is in `found`.
fn assert_says(found: &Value, wanted: &Value, operation: &str) {
    for (name, value) in wanted.as_object().unwrap() {
        match value.as_object() {
            Some(members) if !members.is_empty() => assert_says(&found[name], value, operation),
            _ => assert_eq!(found[name], *value, "{operation}: {name} in {found}"),
        }
    }
}

#[tokio::test]
async fn each_does_what_it_is_for() {
    let worlds = Worlds::open().await;
    for route in routes() {
        let case = worlds.case(route.operation).await;
        let client = case.world.client(case.by);
        let reply = client.send(case.request(&route)).await;
        let (operation, id) = (route.operation, reply.request_id().to_owned());
        assert_says(&reply.ok(case.status), &case.says, operation);
        // The call is on record under the id of its answer.
        let audit = case.world.process.audit();
        let mut lines = audit.lines().filter(|line| line.contains(&id));
        let line: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(line["operation"], operation, "{line}");
        assert_eq!(line["client"], format!("spiffe://lethe.dev/{}", case.by));
        assert!(lines.next().is_none(), "{operation} has one record");
    }
}

#[tokio::test]
async fn a_part_of_the_path_that_names_nothing_is_not_found_and_one_that_is_no_name_is_invalid() {
    let worlds = Worlds::open().await;
    let unknown = |name: &str| match name {
        "keyspace" => "absent",
        "id" => "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b",
        "version" => "9",
        _ => panic!("say here which {name} is unknown"),
    };
    let mut tried = 0;
    for route in routes() {
        let mut case = worlds.case(route.operation).await;
        let client = case.world.client(case.by);
        for index in 0..case.parameters.len() {
            let (name, good) = case.parameters[index].clone();
            for wrong in ["-x", "%20", "%ff", "x%00", &"x".repeat(64)] {
                case.parameters[index].1 = wrong.to_owned();
                let reply = client.send(case.request(&route)).await;
                refused(&reply, 400, "invalid_request");
            }
            case.parameters[index].1 = unknown(name).to_owned();
            // A keyspace that is put need not be there.
            if route.operation != "put_keyspace" {
                let reply = client.send(case.request(&route)).await;
                let codes = ["unknown_keyspace", "not_found"];
                assert_eq!(reply.status, 404, "{} {name}", route.operation);
                assert!(codes.contains(&reply.code()), "{}", reply.body);
            }
            case.parameters[index].1 = good;
            tried += 1;
        }
        // Nothing of it was done.
        client.send(case.request(&route)).await.ok(case.status);
    }
    assert!(tried >= 15, "{tried}");
}

#[tokio::test]
async fn a_query_that_is_not_described_is_refused_where_one_is_taken() {
    let worlds = Worlds::open().await;
    for route in routes() {
        let case = worlds.case(route.operation).await;
        let client = case.world.client(case.by);
        let parameters = described(&route)["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        let takes = |name: &str| parameters.clone().any(|it| it["name"] == name);
        let (id, limit) = (takes("id"), takes("limit"));
        if !parameters.any(|it| it["in"] == "query") {
            continue;
        }
        let mut wrong = vec!["x=x", "limit", "%ff=%ff"];
        if limit {
            wrong.extend(["limit=0", "limit=1001", "limit=x", "limit=1&limit=1"]);
        }
        if id {
            wrong.extend(["id=x", "id=00000000-0000-0000-0000-000000000000"]);
        }
        for query in wrong {
            let path = format!("{}?{query}", case.path(&route));
            let reply = client.send(request(&route.method, &path, None)).await;
            refused(&reply, 400, "invalid_request");
        }
        client.send(case.request(&route)).await.ok(case.status);
    }
}

#[tokio::test]
async fn a_method_that_would_do_is_named() {
    let world = World::open().await;
    let client = world.client("operator");
    for route in routes() {
        let all = routes().into_iter().filter(|it| it.path == route.path);
        let methods: Vec<_> = all.map(|it| it.method.to_string()).collect();
        let mut allowed: HashSet<_> = methods.iter().map(String::as_str).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        let path = route.path.replace("{keyspace}", "chat");
        let path = path.replace("{id}", "x").replace("{version}", "1");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if allowed.contains(method) {
                continue;
            }
            let method = method.parse().unwrap();
            let reply = client.send(request(&method, &path, None)).await;
            refused(&reply, 405, "method_not_allowed");
            let named: HashSet<_> = reply.header("allow").unwrap().split(',').collect();
            assert_eq!(named, allowed, "{path}");
        }
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_not_found() {
    let world = World::open().await;
    for by in ["operator", "stranger"] {
        let client = world.client(by);
        for path in [
            "/",
            "/v1",
            "/v2/keyspaces",
            "/v1//status",
            "/v1/%73tatus",
            "/v1/keyspaces/chat/",
            "/v1/keyspaces//chat",
            "/v1/keyspaces/chat/data-keys/",
        ] {
            for method in [Method::GET, Method::POST, Method::PATCH] {
                let reply = client.send(request(&method, path, None)).await;
                refused(&reply, 404, "not_found");
                assert_eq!(reply.header("allow"), None);
            }
        }
    }
}

#[tokio::test]
async fn head_is_get_without_its_content() {
    let worlds = Worlds::open().await;
    let pair = async |case: &super::cases::Case<'_>, path: &str| -> [Reply; 2] {
        let client = case.world.client(case.by);
        let head = client.send(request(&Method::HEAD, path, None)).await;
        [client.get(path).await, head]
    };
    for route in routes() {
        let case = worlds.case(route.operation).await;
        let path = case.path(&route);
        let [whole, head] = pair(&case, &path).await;
        assert_eq!(head.status, whole.status, "{path}");
        for name in ["content-type", "cache-control", "allow", "location"] {
            assert_eq!(head.header(name), whole.header(name), "{path} {name}");
        }
        let has_get = routes()
            .iter()
            .any(|it| it.path == route.path && it.method == Method::GET);
        assert_eq!(whole.status == 405, !has_get, "{path}");
    }
}

#[tokio::test]
async fn percent_signs_are_resolved_in_each_part_alone() {
    let world = World::open().await;
    let client = world.client("operator");
    for (path, status) in [
        ("/v1/keyspaces/%63hat", 200),
        ("/v1/keyspaces/ch%61t?unknown=1", 200),
        // Part of the name, and no name has one.
        ("/v1/keyspaces/chat%2Fversions", 400),
        ("/v1/keyspaces/%", 400),
        ("/v1/keyspaces/..%2fchat", 400),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_a_later_time() {
    let world = World::open().await;
    let client = world.client("operator");
    let (mut ids, mut last) = (HashSet::new(), 0);
    for path in ["/v1/status", "/nothing", "/v1/keyspaces/absent", "/v1/root"] {
        let reply = client.get(path).await;
        assert!(ids.insert(reply.request_id().to_owned()));
        let time: u64 = reply.header("lethe-time").unwrap().parse().unwrap();
        assert!(time >= last && time > 1_700_000_000_000, "{time}");
        last = time;
    }
    // An id that a client sends is not taken over.
    let asked = Request::get("/v1/status").header("x-request-id", "chosen");
    let reply = client.send(asked.body(Body::empty()).unwrap()).await;
    assert_ne!(reply.request_id(), "chosen");
}
