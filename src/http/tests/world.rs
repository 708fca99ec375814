use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, Request, header};
use lethe_core::duration::Span;
use lethe_core::keyspace::Policy;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::admission::{Connection, Seat};
use crate::app::tests::InProcess;
use crate::config::Config;
use crate::http::connection::ConnectionContext;
use crate::http::document;
use crate::http::request::{Responder, Unanswered};
use crate::http::routes::{Route, router, routes};
use crate::leader::{PutOutcome, Settings};

/// A deployment with the keyspace `chat`.
pub(super) struct World {
    pub(super) process: InProcess,
    router: Router,
}

impl World {
    pub(super) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// With a configuration that the test changes.
    pub(super) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let process = InProcess::open(change).await;
        let router = router(Arc::clone(&process.service));
        let keeper = &process.service.keeper;
        let made = keeper.put_keyspace("chat".parse().unwrap(), chat()).await;
        assert_eq!(made.unwrap(), PutOutcome::Created);
        Self { process, router }
    }

    /// One where a second operator has to approve.
    pub(super) async fn approving() -> Self {
        Self::open_with(|config| config.approvals.required = true).await
    }

    /// A new connection of a client.
    pub(super) fn client(&self, name: &str) -> Client {
        let address = IpAddr::from([127, 0, 0, 1]);
        let connection = Arc::<Connection>::default();
        let service = &self.process.service;
        let place = service.admission.handshake(address, &connection).unwrap();
        let seat = Arc::new(Mutex::new(Seat::Handshake(place)));
        let session = self.process.session(name);
        let taken = Arc::downgrade(&seat);
        let context = ConnectionContext::seat(service, session, connection, address, taken);
        Client {
            responder: Responder {
                router: self.router.clone(),
                service: Arc::clone(service),
                connection: Arc::new(context.unwrap()),
            },
            _seat: seat,
        }
    }

    /// Sum of a metric over its labels, or the one with these.
    pub(super) fn metric(&self, name: &str) -> i64 {
        let text = self.process.metrics();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let named = key == name || key.split('{').next()? == name;
            named.then(|| value.parse::<f64>().unwrap() as i64)
        });
        values.sum()
    }
}

/// A connection of one client.
pub(super) struct Client {
    pub(super) responder: Responder,
    _seat: Arc<Mutex<Seat>>,
}

impl Client {
    /// The answer to any request, checked for what every answer has and for what the OpenAPI document says
    /// of the operation.
    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reply = self.respond(request).await.unwrap();
        reply.check(&method);
        if let Some(route) = route_of(&method, &path) {
            reply.check_documented(&route);
        }
        reply
    }

    pub(super) async fn respond(&self, request: Request<Body>) -> Result<Reply, Unanswered> {
        let (parts, body) = self.responder.respond(request).await?.into_parts();
        // A copy: what came holds the places of the request.
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(request(&Method::GET, path, None)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.send(request(&Method::DELETE, path, None)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(request(&Method::PUT, path, Some(body))).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(request(&Method::POST, path, Some(body))).await
    }

    pub(super) async fn post_bytes(&self, path: &str, body: impl Into<Body>) -> Reply {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn issue(&self, keyspace: &str, conversation: &str) -> Reply {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys");
        self.post(&path, &json!({ "conversation": conversation }))
            .await
    }

    pub(super) async fn unwrap(&self, keyspace: &str, conversation: &str, wrapped: &str) -> Reply {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys/unwrap");
        let body = json!({ "conversation": conversation, "wrapped_key": wrapped });
        self.post(&path, &body).await
    }

    pub(super) async fn shred(&self, keyspace: &str, conversation: &str) -> Reply {
        let path = format!("/v1/keyspaces/{keyspace}/shreds");
        self.post(&path, &json!({ "conversation": conversation }))
            .await
    }

    pub(super) async fn set_keyspace(
        &self,
        name: &str,
        retention: &str,
        granularity: &str,
    ) -> Reply {
        let body = settings(retention, granularity);
        self.put(&format!("/v1/keyspaces/{name}"), &body).await
    }
}

/// Settings of the keyspace that every world has.
fn chat() -> Settings {
    let span = |text: &str| text.parse::<Span>().unwrap();
    let policy = Policy::new(span("72h"), span("1h"), span("30d"), span("5m"));
    Settings {
        keyspace: None,
        policy: Some(policy.unwrap()),
        expected: None,
        minimum_version: None,
        approval: None,
    }
}

pub(super) fn settings(retention: &str, granularity: &str) -> Value {
    json!({ "retention": retention, "granularity": granularity, "rotation": "30d", "cache_ttl": "5m" })
}

/// A request with a JSON body, or with none.
pub(super) fn request(method: &Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = match body {
        Some(body) => request
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into()),
        None => request.body(Body::empty()),
    };
    request.unwrap()
}

/// The route that a path and a method lead to.
pub(super) fn route_of(method: &Method, path: &str) -> Option<Route> {
    let method = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    let leads = |route: &Route| {
        let (named, asked) = (route.path.split('/'), path.split('/'));
        named.clone().count() == asked.clone().count()
            && named
                .zip(asked)
                .all(|(named, asked)| named == asked || named.starts_with('{'))
    };
    let mut routes = routes().into_iter();
    routes.find(|route| route.method == *method && leads(route))
}

/// What the OpenAPI document says of an operation.
pub(super) fn described(route: &Route) -> &'static Value {
    static DOCUMENT: LazyLock<HashMap<&str, Value>> = LazyLock::new(|| {
        let document = document();
        let operation = |route: Route| {
            let method = route.method.as_str().to_lowercase();
            let described = document["paths"][route.path][method].clone();
            (route.operation, described)
        };
        routes().into_iter().map(operation).collect()
    });
    &DOCUMENT[route.operation]
}

#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Null where there is none.
    pub(super) body: Value,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().unwrap())
    }

    pub(super) fn request_id(&self) -> &str {
        self.header("x-request-id").unwrap()
    }

    /// The body of a success.
    #[track_caller]
    pub(super) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("ok")
    }

    pub(super) fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap().to_owned()
    }

    fn check(&self, method: &Method) {
        let id = self.request_id();
        assert!(
            id.len() == 24 && id.bytes().all(|it| it.is_ascii_hexdigit()),
            "{id}"
        );
        assert!(self.header("lethe-time").unwrap().parse::<u64>().is_ok());
        let (is_refusal, status) = (self.status >= 400, self.status);
        let kind = match is_refusal {
            true => "application/problem+json",
            false => "application/json",
        };
        assert_eq!(self.header("content-type"), Some(kind), "{status}");
        let cached = (!is_refusal).then_some("no-store");
        assert_eq!(self.header("cache-control"), cached, "{status}");
        let again = self.header("retry-after").map(str::parse::<u64>);
        assert_eq!(
            again.is_some_and(|seconds| seconds.unwrap() > 0),
            [429, 503].contains(&status)
        );
        if method == Method::HEAD {
            assert!(self.bytes.is_empty(), "{:?}", self.bytes);
            return;
        }
        assert!(self.bytes.ends_with(b"}\n"), "{:?}", self.bytes);
        if is_refusal {
            assert_eq!(self.body["status"], status);
            for member in ["type", "title", "code", "detail"] {
                assert!(self.body[member].is_string(), "{member} in {}", self.body);
            }
        }
    }

    /// Status, code and location are those that the OpenAPI document has for the operation.
    fn check_documented(&self, route: &Route) {
        let answer = &described(route)["responses"][self.status.to_string()];
        let operation = route.operation;
        assert!(
            answer.is_object(),
            "{operation} {}: {}",
            self.status,
            self.body
        );
        if self.status >= 400 && !self.bytes.is_empty() {
            let codes = answer["x-codes"].as_array().unwrap();
            assert!(
                codes.contains(&self.body["code"]),
                "{operation}: {}",
                self.body
            );
        }
        assert_eq!(
            self.header("location").is_some(),
            self.status == 202,
            "{operation}"
        );
    }
}

/// The answer must be this error.
#[track_caller]
pub(super) fn refused(reply: &Reply, status: u16, code: &str) {
    let found = (reply.status, reply.code());
    assert_eq!(found, (status, code), "{}", reply.body);
}

/// Tries until it is so.
pub(super) async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if look().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not seen in time: {what}");
}
