//! What a path and a method mean, over both versions of HTTP: RFC 9110, and RFC 3986 for percent signs.

use crate::support::{Api, Dev, Role};
use reqwest::{Method, Response};

/// A client for each version of HTTP.
fn clients(dev: &Dev) -> [Api; 2] {
    [dev.api(Role::Operator), Api::http1(dev, Role::Operator)]
}

/// Code of a refusal, or none.
async fn code(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or("").to_owned())
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_web_page_asks_for_is_refused() {
    let dev = Dev::start();
    let forbidden = (403, "forbidden".to_owned());
    for api in clients(&dev) {
        for (method, path) in [
            (Method::POST, "/v1/root/rotations"),
            (Method::POST, "/v1/clock/confirmations"),
            (Method::POST, "/v1/keyspaces/chat/versions"),
            (Method::GET, "/v1/status"),
        ] {
            for (name, value) in [
                ("origin", "https://evil.example"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-origin"),
            ] {
                let request = api.request(method.clone(), path).header(name, value);
                assert_eq!(code(request).await, forbidden, "{method} {path} {name}");
            }
        }
        // A person who types an address.
        let typed = api.request(Method::GET, "/v1/status");
        let typed = typed.header("sec-fetch-site", "none");
        assert_eq!(code(typed).await.0, 200);
        // As a form sends it.
        let form = api.request(Method::POST, "/v1/keyspaces/chat/versions");
        let form = form.header("content-type", "text/plain").body("a=b");
        assert_eq!(code(form).await, (415, "unsupported_media_type".into()));
    }
    let chat = dev
        .api(Role::Operator)
        .get("/v1/keyspaces/chat")
        .await
        .ok(200);
    assert_eq!(chat["versions"].as_array().unwrap().len(), 1);
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
    assert_eq!(dev.ops("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_bears_an_id_and_the_time() {
    let dev = Dev::start();
    let mut ids = std::collections::HashSet::new();
    for (version, api) in clients(&dev).into_iter().enumerate() {
        let mut last = 0;
        for path in [
            "/v1/status",
            "/v1/nothing",
            "/v1/keyspaces/nothing",
            "/v1/root/rotations",
        ] {
            let answer = sent(&api, Method::GET, path).await;
            let id = header(&answer, "x-request-id").unwrap();
            assert!(id.len() == 24 && ids.insert(id.to_owned()), "{id}");
            let time: u64 = header(&answer, "lethe-time").unwrap().parse().unwrap();
            assert!(time >= last && time > 1_700_000_000_000, "{time}");
            last = time;
            let keep_alive = (version == 1).then_some("timeout=60");
            assert_eq!(header(&answer, "keep-alive"), keep_alive);
            assert!(answer.bytes().await.unwrap().ends_with(b"}\n"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_not_understood_are_told_apart() {
    let dev = Dev::start();
    let path = "/v1/keyspaces/chat/data-keys";
    for api in [
        dev.api(Role::MessageServer),
        Api::http1(&dev, Role::MessageServer),
    ] {
        let post = |name: &str, value: &str| {
            let request = api.request(Method::POST, path).header(name, value);
            request.body(r#"{"conversation":"c","plaintext":null}"#)
        };
        let json = "application/json";
        assert_eq!(code(post("content-type", json)).await, (201, String::new()));
        let zipped = post("content-type", json).header("content-encoding", "gzip");
        assert_eq!(code(zipped).await, (415, "unsupported_media_type".into()));
        assert_eq!(code(post("accept", "*/*")).await.0, 415);
        let wrong = api.request(Method::POST, path).header("content-type", json);
        let wrong = wrong
            .body(r#"{"conversation":"c","plaintext":"secret"}"#)
            .send();
        let said = wrong.await.unwrap().text().await.unwrap();
        assert!(
            said.contains("field `plaintext`: expected a boolean"),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
    let expects = dev.api(Role::MessageServer).request(Method::POST, path);
    let expects = expects.header("expect", "100-continue");
    let expects = expects
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(code(expects).await, (417, "expectation_failed".into()));
}
