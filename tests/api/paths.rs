//! What a path and a method mean over both versions of HTTP (RFC 9110, and RFC 3986 for percent signs), and the ops
//! listener. More of it is tested in `src/http/tests/operations.rs`.

use std::collections::HashSet;

use crate::support::api::Answer;
use crate::support::{Api, Dev, Role, refused};
use reqwest::{Method, Response};

async fn sent(api: &Api, method: Method, path: &str) -> Response {
    api.raw(method, path, None, "").await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|it| it.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_mean_the_same() {
    let mut dev = Dev::start();
    let mut ids = HashSet::new();
    let http1 = Api::http1(&dev, Role::Operator);
    for (version, api) in [dev.api(Role::Operator), http1].iter().enumerate() {
        methods(api).await;
        heads(api).await;
        percent_signs(api).await;
        let keep_alive = (version == 1).then_some("timeout=60");
        ids_and_times(api, keep_alive, &mut ids).await;
    }
    let server = dev.api(Role::MessageServer);
    let expects = server.request(Method::POST, "/v1/keyspaces/chat/data-keys");
    let expects = expects.header("expect", "100-continue");
    let expects = expects.header("content-type", "application/json");
    let answer = Answer::of(expects.body("{}").send().await.unwrap()).await;
    refused(&answer, 417, "expectation_failed");
    dev.stop();
}

async fn methods(api: &Api) {
    for (path, methods) in [
        ("/v1/status", "GET,HEAD"),
        ("/v1/keyspaces/chat", "GET,PUT,DELETE,HEAD"),
        ("/v1/keyspaces/chat/data-keys", "POST"),
        ("/v1/keyspaces/chat/versions/1", "DELETE"),
    ] {
        let answer = sent(api, Method::PATCH, path).await;
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(header(&answer, "allow"), Some(methods), "{path}");
    }
    assert_eq!(header(&sent(api, Method::GET, "/v1").await, "allow"), None);
}

async fn heads(api: &Api) {
    for path in [
        "/v1/keyspaces/chat",
        "/v1/keyspaces/nothing",
        "/v1/openapi.json",
        "/nothing",
        // A change, which has no head.
        "/v1/root/rotations",
    ] {
        let whole = sent(api, Method::GET, path).await;
        let head = sent(api, Method::HEAD, path).await;
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

async fn percent_signs(api: &Api) {
    for (path, status) in [
        ("/v1/keyspaces/%63hat", 200),
        // Part of the name, and no name has one.
        ("/v1/keyspaces/chat%2Fversions", 400),
        ("/v1/keyspaces/%ff", 400),
        ("/v1/keyspaces/%", 400),
        ("/v1/keyspaces/chat%00", 400),
        // Names of ours are written in one way.
        ("/v1/%73tatus", 404),
        ("/v1/keyspaces/chat/", 404),
    ] {
        let answer = sent(api, Method::GET, path).await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

async fn ids_and_times(api: &Api, keep_alive: Option<&str>, ids: &mut HashSet<String>) {
    let mut last = 0;
    for path in ["/v1/status", "/v1/nothing", "/v1/root/rotations"] {
        let answer = sent(api, Method::GET, path).await;
        let id = header(&answer, "x-request-id").unwrap();
        assert!(id.len() == 24 && ids.insert(id.to_owned()), "{id}");
        let time: u64 = header(&answer, "lethe-time").unwrap().parse().unwrap();
        assert!(time >= last && time > 1_700_000_000_000, "{time}");
        last = time;
        assert_eq!(header(&answer, "keep-alive"), keep_alive);
        assert!(answer.bytes().await.unwrap().ends_with(b"}\n"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ops_listener_answers_no_web_page_either() {
    let dev = Dev::start();
    let _ = dev.ops("/healthz").await;
    let http = reqwest::Client::new();
    let ask = async |path: &str, name: &str, value: &str| {
        let request = http.get(format!("http://{}{path}", dev.ops));
        let answer = request.header(name, value).send().await.unwrap();
        let kind = answer.headers().get("content-type").cloned();
        (answer.status().as_u16(), kind)
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example:8444"),
    ] {
        assert_eq!(ask("/metrics", name, value).await.0, 403, "{name}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]"] {
        assert_eq!(ask("/healthz", "host", host).await.0, 200, "{host}");
    }
    for (accepted, kind) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let told = ask("/metrics", "accept", accepted).await.1.unwrap();
        assert_eq!(told, kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_requests_keep_nobody_from_the_ops_listener() {
    use tokio::io::AsyncWriteExt;

    let dev = Dev::start_with(|text| {
        text.replace("certificate =", "ops_max_connections = 8\ncertificate =")
    });
    let mut half = Vec::new();
    for _ in 0..40 {
        let mut stream = tokio::net::TcpStream::connect(dev.ops).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost:")
            .await
            .unwrap();
        half.push(stream);
    }
    assert_eq!(dev.ops("/healthz").await.0, 200);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (status, text) = dev.ops(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(text.ends_with('\n'), "{path}: {text}");
    }
}
