//! What a path and a method mean, over both versions of HTTP: RFC 9110, and RFC 3986 for percent signs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use reqwest::{Method, Response};
use support::{Api, Dev, Role};

/// A client for each version of HTTP.
fn clients(dev: &Dev) -> [Api; 2] {
    [dev.api(Role::Operator), Api::http1(dev, Role::Operator)]
}

async fn sent(api: &Api, method: Method, path: &str) -> Response {
    api.raw(method, path, None, "").await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|it| it.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_would_do_is_named() {
    let mut dev = Dev::start();
    for api in clients(&dev) {
        for (path, methods) in [
            ("/v1/status", "GET,HEAD"),
            ("/v1/keyspaces/chat", "GET,PUT,DELETE,HEAD"),
            ("/v1/keyspaces/chat/data-keys", "POST"),
            ("/v1/keyspaces/chat/versions/1", "DELETE"),
        ] {
            let answer = sent(&api, Method::PATCH, path).await;
            assert_eq!(answer.status(), 405, "{path}");
            assert_eq!(header(&answer, "allow"), Some(methods), "{path}");
        }
        assert_eq!(header(&sent(&api, Method::GET, "/v1").await, "allow"), None);
    }
    dev.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_get_without_its_content() {
    let mut dev = Dev::start();
    for api in clients(&dev) {
        for path in [
            "/v1/keyspaces/chat",
            "/v1/keyspaces/nothing",
            "/v1/openapi.json",
            "/nothing",
            // A change, which has no head.
            "/v1/root/rotations",
        ] {
            let whole = sent(&api, Method::GET, path).await;
            let head = sent(&api, Method::HEAD, path).await;
            assert_eq!(head.status(), whole.status(), "{path}");
            for name in ["content-type", "content-length", "cache-control"] {
                assert_eq!(header(&head, name), header(&whole, name), "{path} {name}");
            }
            assert!(header(&head, "x-request-id").is_some());
            let length = header(&whole, "content-length").unwrap().to_owned();
            assert_eq!(whole.bytes().await.unwrap().len().to_string(), length);
            assert_eq!(head.bytes().await.unwrap().len(), 0);
        }
    }
    dev.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percent_signs_are_resolved_in_each_part_alone() {
    let mut dev = Dev::start();
    for api in clients(&dev) {
        for (path, status) in [
            ("/v1/keyspaces/%63hat", 200),
            ("/v1/keyspaces/ch%61t?unknown=1", 200),
            // Part of the name, and no name has one.
            ("/v1/keyspaces/chat%2Fversions", 400),
            ("/v1/keyspaces/%ff", 400),
            ("/v1/keyspaces/%", 400),
            ("/v1/keyspaces/chat%00", 400),
            // Names of ours are written in one way.
            ("/v1/%73tatus", 404),
            ("/v1/keyspaces/chat/", 404),
            ("/v1/keyspaces//chat", 404),
        ] {
            let answer = sent(&api, Method::GET, path).await;
            assert_eq!(answer.status(), status, "{path}");
        }
        let named = api.get("/v1/approvals/%ff").await;
        assert_eq!((named.status, named.code()), (400, "invalid_request"));
    }
    dev.stop();
}
