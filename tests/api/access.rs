//! Who gets in, and who may do what.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::api::{Answer, tls};
use crate::support::{Api, Dev, Role, lethe, refused};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType, date_time_ymd};
use reqwest::Method;
use rustls::client::Resumption;
use rustls::{HandshakeKind, version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A certificate of the development CA with what `lethe pki` refuses to make.
fn certificate(dev: &Dev, name: &str, edit: impl Fn(&mut CertificateParams)) -> PathBuf {
    let read = |name: &str| std::fs::read_to_string(dev.dir().join("pki").join(name)).unwrap();
    let authority = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), authority).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    edit(&mut params);
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    let path = dev.scratch().join(name);
    std::fs::write(path.with_extension("crt"), signed.pem()).unwrap();
    std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
    path
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// By `lethe pki issue`.
fn issue(ca: &Path, out: &Path, spiffe_id: &str) {
    let mut command = lethe(&["pki", "issue", "--spiffe-id", spiffe_id]);
    let output = command.arg("--ca").arg(ca).arg("--out").arg(out).output();
    assert!(output.unwrap().status.success());
}

async fn no_tls(api: &Api) {
    let answer = api.raw(Method::GET, "/v1/openapi.json", None, "").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_get_through_tls() {
    let dev = Dev::start();
    no_tls(&Api::with(&dev, tls(&dev, None, &[&version::TLS13]))).await;

    let expired = certificate(&dev, "expired", |params| {
        params.subject_alt_names = vec![uri("spiffe://lethe.dev/operator")];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    no_tls(&Api::new(&dev, &expired)).await;
    let early = certificate(&dev, "early", |params| {
        params.subject_alt_names = vec![uri("spiffe://lethe.dev/operator")];
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    });
    no_tls(&Api::new(&dev, &early)).await;

    let other = dev.scratch().join("other");
    let made = lethe(&["pki", "ca", "--name", "Lethe development CA"])
        .arg("--out")
        .arg(&other)
        .output();
    assert!(made.unwrap().status.success());
    let foreign = dev.scratch().join("foreign");
    issue(&other, &foreign, "spiffe://lethe.dev/operator");
    no_tls(&Api::new(&dev, &foreign)).await;

    // The server's own certificate is not one for clients.
    no_tls(&Api::new(&dev, &dev.dir().join("pki/server"))).await;

    let operator = dev.dir().join("pki/operator");
    let old = tls(&dev, Some(&operator), &[&version::TLS12]);
    no_tls(&Api::with(&dev, old)).await;
    // The same certificate with TLS 1.3 gets in: nothing else was wrong.
    Api::new(&dev, &operator)
        .get("/v1/openapi.json")
        .await
        .ok(200);
    assert!(!dev.audit().contains("\"outcome\":\"forbidden\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_without_one_known_spiffe_id_may_do_nothing() {
    let dev = Dev::start();
    let known = "spiffe://lethe.dev/operator";
    let names: [(&str, Vec<SanType>); 5] = [
        ("none", vec![]),
        (
            "dns",
            vec![SanType::DnsName("operator".try_into().unwrap())],
        ),
        ("url", vec![uri("https://lethe.dev/operator")]),
        ("two", vec![uri(known), uri("spiffe://lethe.dev/auditor")]),
        ("stranger", vec![uri("spiffe://lethe.dev/stranger")]),
    ];
    for (name, sans) in names {
        let path = certificate(&dev, name, |params| {
            params.subject_alt_names = sans.clone();
            // Common names are not looked at.
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, known);
        });
        let api = Api::new(&dev, &path);
        for (method, path) in routes() {
            let answer = call(&api, &method, &path).await;
            refused(&answer, 403, "forbidden");
        }
    }
    let path = dev.scratch().join("by-pki");
    issue(&dev.dir().join("pki"), &path, known);
    Api::new(&dev, &path).get("/v1/status").await.ok(200);
}

/// Every operation of the document that the service prints.
fn documented() -> Vec<(Method, String, Value)> {
    let printed = lethe(&["openapi"]).output().unwrap();
    assert!(printed.status.success());
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.clone(), operation.clone()));
        }
    }
    operations
}

fn routes() -> Vec<(Method, String)> {
    let operations = documented().into_iter();
    operations.map(|(method, path, _)| (method, path)).collect()
}

/// By method and path: what is served, as which operation and to whom.
type Served = BTreeSet<(String, String, String, Vec<&'static str>)>;

/// The router is made from this list, so nothing is served that is not on it.
#[test]
fn what_is_served_is_documented_and_the_other_way_round() {
    let served: Served = lethe::http::routes()
        .into_iter()
        .map(|route| {
            let roles = route.roles.iter().map(|role| match role {
                lethe::identity::Role::MessageServer => Role::MessageServer.name(),
                lethe::identity::Role::Operator => Role::Operator.name(),
                lethe::identity::Role::Auditor => Role::Auditor.name(),
            });
            let (method, roles) = (route.method.to_string(), roles.collect());
            (method, route.path.into(), route.operation.into(), roles)
        })
        .collect();
    let documented: Served = documented()
        .into_iter()
        .map(|(method, path, operation)| {
            let roles = allowed(&method, &path).iter().map(|role| role.name());
            let name = operation["operationId"].as_str().unwrap();
            (
                method.to_string(),
                path.clone(),
                name.into(),
                roles.collect(),
            )
        })
        .collect();
    let only_served: Vec<_> = served.difference(&documented).collect();
    let only_documented: Vec<_> = documented.difference(&served).collect();
    assert!(
        only_served.is_empty() && only_documented.is_empty(),
        "served as: {only_served:#?}\ndocumented as: {only_documented:#?}"
    );
    // Parameters of the path are documented too.
    for (method, path, operation) in self::documented() {
        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let named = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path");
        let mut named: Vec<_> = named.map(|it| it["name"].as_str().unwrap()).collect();
        let mut used: Vec<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
        named.sort_unstable();
        used.sort_unstable();
        assert_eq!(named, used, "{method} {path}");
    }
}

/// Who may call a route, as docs/reference/http-api.md says. A route that is not here fails the test.
fn allowed(method: &Method, path: &str) -> &'static [Role] {
    use Role::{Auditor, MessageServer, Operator};
    match (method.as_str(), path) {
        (
            "POST",
            "/v1/keyspaces/{keyspace}/data-keys" | "/v1/keyspaces/{keyspace}/data-keys/unwrap",
        ) => &[MessageServer],
        (
            "POST",
            "/v1/keyspaces/{keyspace}/data-keys/rewrap"
            | "/v1/keyspaces/{keyspace}/shreds"
            | "/v1/shreds",
        ) => &[MessageServer, Operator],
        (
            "GET",
            "/v1/keyspaces"
            | "/v1/keyspaces/{keyspace}"
            | "/v1/keyspaces/{keyspace}/shreds/{id}"
            | "/v1/expiries"
            | "/v1/verification-keys"
            | "/v1/openapi.json",
        ) => &Role::ALL,
        ("PUT" | "DELETE", "/v1/keyspaces/{keyspace}")
        | (
            "POST",
            "/v1/keyspaces/{keyspace}/versions" | "/v1/root/rotations" | "/v1/clock/confirmations",
        )
        | ("DELETE", "/v1/keyspaces/{keyspace}/versions/{version}") => &[Operator],
        ("GET" | "POST", "/v1/approvals") | ("POST", "/v1/approvals/{id}") => &[Operator],
        ("GET" | "DELETE", "/v1/approvals/{id}") => &[MessageServer, Operator],
        ("GET" | "POST", "/v1/hsm/moves") => &[Operator],
        ("GET", "/v1/status") => &[Operator, Auditor],
        _ => panic!("say here who may call {method} {path}"),
    }
}

async fn call(api: &Api, method: &Method, path: &str) -> Answer {
    call_on(api, method, path, "chat").await
}

async fn call_on(api: &Api, method: &Method, path: &str, keyspace: &str) -> Answer {
    let path = path.replace("{keyspace}", keyspace);
    let path = path.replace("{id}", "x").replace("{version}", "x");
    // A body and a query that no endpoint takes: a role that may call hears that.
    let path = if *method == Method::DELETE {
        path + "?x=x"
    } else {
        path
    };
    let answer = api.raw(method.clone(), &path, Some("application/json"), "{}");
    Answer::of(answer.await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_the_wrong_roles() {
    let dev = Dev::start();
    for role in Role::ALL {
        let api = dev.api(role);
        for (method, path) in routes() {
            let answer = call(&api, &method, &path).await;
            if allowed(&method, &path).contains(&role) {
                // Some take no body: they do what they are there for. There is no HSM to move to.
                let no_other_hsm = path == "/v1/hsm/moves" && answer.status == 409;
                assert!(
                    no_other_hsm || [200, 201, 400].contains(&answer.status),
                    "{role:?} {method} {path}: {answer:?}"
                );
            } else {
                refused(&answer, 403, "forbidden");
            }
        }
    }
    assert!(dev.audit().contains("\"outcome\":\"forbidden\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_foreign_keyspaces() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    let before = operator.set_keyspace("vault", "72h", "1h").await.ok(201);
    let names = |listed: &Value| -> Vec<String> {
        let listed = listed["keyspaces"].as_array().unwrap().iter();
        listed
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let grants = |from: &'static str, to: &'static str| {
        move |text: String| text.replace(&format!("[\"{from}\"]"), &format!("[\"{to}\"]"))
    };
    dev.reload(|| dev.configure(grants("*", "chat"))).await;
    let mut tried = 0;
    for role in Role::ALL {
        let api = dev.api(role);
        for (method, path) in routes() {
            if path.contains("{keyspace}") {
                // One that is there, and one that is not: whether it is is not told.
                for keyspace in ["vault", "absent", "chat2"] {
                    let answer = call_on(&api, &method, &path, keyspace).await;
                    refused(&answer, 403, "forbidden");
                    tried += 1;
                }
            }
            // What concerns the whole deployment needs a grant of all of it.
            if matches!(
                (method.as_str(), &*path),
                (
                    "POST",
                    "/v1/root/rotations" | "/v1/clock/confirmations" | "/v1/hsm/moves"
                )
            ) {
                let answer = call(&api, &method, &path).await;
                refused(&answer, 403, "forbidden");
            }
        }
        assert_eq!(names(&api.get("/v1/keyspaces").await.ok(200)), ["chat"]);
    }
    assert!(tried >= 90, "{tried}");
    assert_eq!(names(&operator.get("/v1/status").await.ok(200)), ["chat"]);
    dev.reload(|| dev.configure(grants("chat", "*"))).await;
    let after = operator.get("/v1/keyspaces/vault").await.ok(200);
    assert_eq!(after["versions"], before["versions"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_that_is_not_granted_is_closed() {
    let dev = Dev::start_with(|text| {
        text.replace("keyspaces = [\"*\"]", "keyspaces = [\"chat\", \"team-*\"]")
    });
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("team-a", "72h", "1h").await.ok(201);
    refused(
        &operator.set_keyspace("vault", "72h", "1h").await,
        403,
        "forbidden",
    );
    let api = dev.api(Role::MessageServer);
    let wrapped = api.issue("team-a", "room").await.text("wrapped_key");
    // Whether it exists is not told.
    refused(&api.issue("vault", "room").await, 403, "forbidden");
    refused(
        &api.unwrap("vault", "room", &wrapped).await,
        403,
        "forbidden",
    );
    refused(&api.get("/v1/keyspaces/vault").await, 403, "forbidden");
    let listed = api.get("/v1/keyspaces").await.ok(200);
    let names: Vec<_> = listed["keyspaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| &k["name"])
        .collect();
    assert_eq!(names, [&json!("chat"), &json!("team-a")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_resumed() {
    let dev = Dev::start();
    let operator = dev.dir().join("pki/operator");
    let mut config = tls(&dev, Some(&operator), &[&version::TLS13]);
    config.resumption = Resumption::in_memory_sessions(16);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let tcp = tokio::net::TcpStream::connect(dev.listen).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        let request = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // The server may close the connection without a word of TLS.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        let connection = stream.get_ref().1;
        // Asked for its hybrid key share first, as a client that prefers a classical one is.
        let kind = connection.handshake_kind();
        assert!(
            matches!(
                kind,
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
            ),
            "{kind:?}"
        );
        assert_eq!(connection.tls13_tickets_received(), 0);
    }
}
