//! A collector of traces: takes OTLP over HTTP and keeps what it got.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use super::Dev;

/// What came, as it came.
type Received = Arc<Mutex<Vec<Bytes>>>;

pub struct Collector {
    pub address: SocketAddr,
    received: Received,
}

impl Collector {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        let received = Received::default();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, received }
    }

    /// All bytes of all bodies.
    pub fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap().concat()
    }

    /// The names of the services that sent.
    pub fn services(&self) -> Vec<BTreeMap<String, String>> {
        let resources = self.requests().into_iter().flat_map(|it| it.resource_spans);
        let each = resources.map(|it| attributes(&it.resource.unwrap().attributes));
        each.collect()
    }

    pub fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|it| it.resource_spans);
        let scopes = resources.flat_map(|it| it.scope_spans);
        scopes.flat_map(|it| it.spans).collect()
    }

    /// Those of one trace.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| hex(&span.trace_id) == id);
        spans
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let received = self.received.lock().unwrap();
        let decoded = received
            .iter()
            .map(|it| ExportTraceServiceRequest::decode(&**it));
        decoded.collect::<Result<_, _>>().unwrap()
    }
}

async fn take(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> HeaderMap {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    received.lock().unwrap().push(body);
    let mut answer = HeaderMap::new();
    answer.insert("content-type", "application/x-protobuf".parse().unwrap());
    answer
}

/// A deployment that sends traces there; `options` are more lines of `[telemetry]`.
pub fn traced(address: SocketAddr, options: &str) -> Dev {
    let section = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\n{options}\n[clock]");
    Dev::start_with(|text| text.replace("[clock]", &section))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let each = all.iter().map(|it| (it.key.clone(), text(&it.value)));
    each.collect()
}
