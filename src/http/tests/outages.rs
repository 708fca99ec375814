//! What every operation of the table of routes does while something is away. Whatever is refused leaves nothing behind
//! and can be repeated.

use hyper::header::HeaderValue;
use lethe_core::ports::HsmError;
use lethe_core::receipt::ErasureId;
use lethe_testkit::memory_hsm::Fault;
use serde_json::Value;

use super::cases::{Case, Worlds};
use super::world::{Reply, World, eventually, refused};
use crate::http::routes::{Route, routes};

/// What becomes of a call.
enum Outcome {
    /// It needs nothing of what is away.
    Answered,
    /// It is accepted, and done when all is there again.
    Accepted,
    /// It is refused with this code.
    Refused(&'static str),
}

/// Every keyspace with its versions, and the number of batches.
fn state(world: &World) -> (Vec<(String, usize)>, u64) {
    let keyring = world.process.service.node.key_state.keyring();
    let keyspaces = keyring.keyspaces.iter();
    let versions = keyspaces.map(|(name, it)| (name.to_string(), it.versions.len()));
    let mut versions: Vec<_> = versions.collect();
    versions.sort_unstable();
    (versions, keyring.sequence)
}

async fn respond_async(case: &Case<'_>, route: &Route) -> Reply {
    let mut request = case.request(route);
    let at_once = HeaderValue::from_static("respond-async");
    request.headers_mut().insert("prefer", at_once);
    case.world.client(case.by).send(request).await
}

fn without_hsm(operation: &str) -> Outcome {
    match operation {
        "shred" | "shred_across" | "erase_keyspace" | "drop_version" | "approve"
        | "approve_many" => Outcome::Accepted,
        "put_keyspace" | "rotate_keyspace" | "rotate_root" | "move_hsm" => {
            Outcome::Refused("hsm_unavailable")
        }
        "issue" | "unwrap" | "rewrap" | "show_shred" | "list_keyspaces" | "show_keyspace"
        | "show_hsm_move" | "list_approvals" | "show_approval" | "withdraw_approval"
        | "confirm_clock" | "list_expiries" | "status" | "verification_keys" | "openapi" => {
            Outcome::Answered
        }
        _ => panic!("say here what {operation} does without the HSM"),
    }
}

#[tokio::test]
async fn without_the_hsm_keys_are_served_and_erasures_accepted_and_nothing_is_half_done() {
    let worlds = Worlds::open().await;
    for route in routes() {
        let case = worlds.case(route.operation).await;
        let (hsm, before) = (&case.world.process.hsm, state(case.world));
        hsm.set_fault(Fault::Fails(HsmError::Unavailable("away".into())));
        let reply = respond_async(&case, &route).await;
        match without_hsm(route.operation) {
            Outcome::Answered => {
                reply.ok(case.status);
            }
            Outcome::Accepted => {
                hsm.set_fault(Fault::None);
                for accepted in items(&reply) {
                    assert_eq!(accepted["state"], "accepted", "{accepted}");
                    is_done(case.world, accepted["id"].as_str().unwrap()).await;
                }
            }
            Outcome::Refused(code) => {
                refused(&reply, 503, code);
                assert_eq!(state(case.world), before, "{}", route.operation);
            }
        }
        hsm.set_fault(Fault::None);
        if let Outcome::Refused(_) = without_hsm(route.operation) {
            let client = case.world.client(case.by);
            client.send(case.request(&route)).await.ok(case.status);
        }
    }
}

/// What became of each item, or of the only one.
fn items(reply: &Reply) -> Vec<Value> {
    let items = reply.body["items"].as_array().cloned();
    items.unwrap_or_else(|| vec![reply.body.clone()])
}

/// Its receipt is there.
async fn is_done(world: &World, id: &str) {
    let id: ErasureId = id.parse().unwrap();
    let service = &world.process.service;
    let accepted = service.store.erasures_by_id(&[id]).await.unwrap();
    let number = accepted.first().unwrap().number;
    eventually("it is destroyed", async || {
        !service.pending_erasures.is_open(number)
    })
    .await;
}

/// Whichever call of the HSM fails.
#[tokio::test]
async fn a_change_that_the_hsm_breaks_off_is_made_whole_or_not_at_all() {
    let worlds = Worlds::open().await;
    for operation in ["put_keyspace", "rotate_keyspace", "rotate_root"] {
        let route = routes().into_iter().find(|it| it.operation == operation);
        let (route, mut calls) = (route.unwrap(), 0);
        loop {
            let case = worlds.case(operation).await;
            let (hsm, before) = (&case.world.process.hsm, state(case.world));
            let away = HsmError::Unavailable("away".into());
            hsm.set_fault(Fault::FailsAfter(calls, away));
            let reply = case.world.client(case.by).send(case.request(&route)).await;
            hsm.set_fault(Fault::None);
            if reply.status == case.status {
                break;
            }
            refused(&reply, 503, "hsm_unavailable");
            let client = case.world.client(case.by);
            let after = state(case.world);
            // A batch may be committed before the HSM fails: then it is gone on with.
            let again = client.send(case.request(&route)).await;
            let fits = [case.status, 200];
            assert!(fits.contains(&again.status), "{operation}: {}", again.body);
            let grown = after.1 - before.1;
            assert!(grown <= 1, "{operation} after {calls} calls: {grown}");
            calls += 1;
        }
        assert!(calls > 0, "{operation} needs the HSM");
    }
}

fn without_store(operation: &str) -> Outcome {
    match operation {
        "shred" | "show_shred" | "erase_keyspace" | "drop_version" | "list_approvals"
        | "show_approval" | "withdraw_approval" | "approve" | "list_expiries" | "put_keyspace"
        | "rotate_keyspace" | "rotate_root" | "move_hsm" => Outcome::Refused("store_unavailable"),
        "issue" | "unwrap" | "rewrap" | "list_keyspaces" | "show_keyspace" | "show_hsm_move"
        | "confirm_clock" | "status" | "verification_keys" | "openapi" => Outcome::Answered,
        // Each item is refused by itself.
        "shred_across" | "approve_many" => Outcome::Accepted,
        _ => panic!("say here what {operation} does without the store"),
    }
}

/// The calls of all operations, after what they need was made.
async fn all(worlds: &Worlds) -> Vec<(Route, Case<'_>)> {
    let mut cases = Vec::new();
    for route in routes() {
        let case = worlds.case(route.operation).await;
        cases.push((route, case));
    }
    cases
}

#[tokio::test]
async fn without_the_store_keys_are_served_and_all_else_is_refused() {
    let worlds = Worlds::open().await;
    let cases = all(&worlds).await;
    for world in worlds.each() {
        world.process.close_store().await;
    }
    for (route, case) in cases {
        let before = state(case.world);
        let reply = respond_async(&case, &route).await;
        match without_store(route.operation) {
            Outcome::Answered => {
                reply.ok(case.status);
            }
            Outcome::Accepted => {
                let answer = reply.ok(200);
                let code = &answer["items"][0]["error"]["code"];
                assert_eq!(code, "store_unavailable", "{answer}");
            }
            Outcome::Refused(code) => refused(&reply, 503, code),
        }
        assert_eq!(state(case.world), before, "{}", route.operation);
    }
}

#[tokio::test]
async fn without_the_audit_log_nothing_is_answered_and_nothing_done() {
    let worlds = Worlds::open().await;
    let cases = all(&worlds).await;
    for world in worlds.each() {
        world.process.close_audit().await;
    }
    for (route, case) in cases {
        let (before, objects) = (state(case.world), case.world.process.hsm.count());
        let reply = respond_async(&case, &route).await;
        refused(&reply, 503, "audit_unavailable");
        assert_eq!(state(case.world), before, "{}", route.operation);
        let held = case.world.process.hsm.count();
        assert_eq!(held, objects, "{}", route.operation);
        let backlog = case.world.process.service.pending_erasures.backlog();
        assert_eq!(backlog.erasures, 0, "{}", route.operation);
    }
}

fn while_stopping(operation: &str) -> Outcome {
    match operation {
        "put_keyspace" | "rotate_keyspace" | "rotate_root" | "move_hsm" | "confirm_clock" => {
            Outcome::Refused("overloaded")
        }
        "shred" | "shred_across" | "erase_keyspace" | "drop_version" | "approve"
        | "approve_many" => Outcome::Accepted,
        "issue" | "unwrap" | "rewrap" | "show_shred" | "list_keyspaces" | "show_keyspace"
        | "show_hsm_move" | "list_approvals" | "show_approval" | "withdraw_approval"
        | "list_expiries" | "status" | "verification_keys" | "openapi" => Outcome::Answered,
        _ => panic!("say here what {operation} does while the service stops"),
    }
}

/// After a halt, too: the background work has ended, and requests under way come to their end.
#[tokio::test]
async fn while_the_service_stops_keys_are_served_and_changes_refused() {
    let worlds = Worlds::open().await;
    let cases = all(&worlds).await;
    for world in worlds.each() {
        world.process.end_keeper().await;
    }
    for (route, case) in cases {
        let before = state(case.world);
        let reply = respond_async(&case, &route).await;
        match while_stopping(route.operation) {
            Outcome::Answered => {
                reply.ok(case.status);
            }
            Outcome::Accepted => {
                for accepted in items(&reply) {
                    assert_eq!(accepted["state"], "accepted", "{accepted}");
                }
            }
            Outcome::Refused(code) => {
                refused(&reply, 503, code);
                assert!(reply.text("detail").contains("stopping"), "{}", reply.body);
            }
        }
        assert_eq!(state(case.world), before, "{}", route.operation);
    }
}
