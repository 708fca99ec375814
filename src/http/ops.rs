//! Health, readiness and metrics: plain HTTP, on an address of its own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use lethe_core::grid;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::answer::Reply;
use super::browser::{is_of_a_page, names_loopback};
use super::server::{Limits, Transport, accept};
use super::socket::Socket;
use super::state::ApiState;
use crate::admission::{Connection, Pool};
use crate::observability::metrics::Exposition;

/// What the ops listener needs.
#[derive(Clone)]
pub struct Ops {
    /// The service.
    pub service: Arc<ApiState>,
    /// Its metrics.
    pub exposition: Arc<Exposition>,
}

/// Serves `/healthz`, `/readyz` and `/metrics` until `stop`, to so many connections at once: one more
/// closes the oldest that waits for its client.
pub async fn serve(
    listener: TcpListener,
    ops: Ops,
    max_connections: usize,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    let exceeded = ops.service.metrics.budget_exceeded("ops_connections");
    let pool = Pool::new(max_connections, exceeded);
    let loopback = listener.local_addr().is_ok_and(|it| it.ip().is_loopback());
    let router = router(ops);
    loop {
        let Some((stream, address)) = accept(&listener).await else {
            continue;
        };
        let connection = Arc::new(Connection::default());
        let Some(place) = pool.enter(address, &connection) else {
            continue;
        };
        let socket = Socket::new(stream, Arc::clone(&connection), place);
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let (router, of) = (TowerToHyperService::new(router), Arc::clone(&connection));
            let service = service_fn(move |request: Request<Incoming>| {
                let active = of.begin();
                let page = is_of_a_page(request.headers());
                let answer = (!page && (!loopback || names_loopback(&request)))
                    .then(|| router.call(request));
                async move {
                    let response = match answer {
                        Some(answer) => whole(answer.await).await,
                        None => refused(),
                    };
                    Reply::plain(response).until_sent(active)
                }
            });
            let transport = Transport {
                limits,
                connection: &connection,
                outdated: &Notify::new(),
                stop,
            };
            tokio::select! {
                () = transport.serve_http1(socket, service) => {}
                () = connection.evicted() => {}
            }
        });
    }
}

fn refused() -> Response<Vec<u8>> {
    let mut response =
        Response::new(b"a request of a web page, or for another host, is not taken\n".to_vec());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// Answers are made whole; they do not fail.
async fn whole(
    answer: Result<Response<axum::body::Body>, std::convert::Infallible>,
) -> Response<Vec<u8>> {
    let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
    let bytes = body.collect().await.map(|it| it.to_bytes().to_vec());
    Response::from_parts(parts, bytes.unwrap_or_default())
}

fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops)
}

const OPEN_METRICS: &str = "application/openmetrics-text";

async fn metrics(State(ops): State<Ops>, headers: HeaderMap) -> impl IntoResponse {
    let service = &ops.service;
    service.limits.show(service.now());
    service.admission.show();
    service.metrics.measure_process();
    service.metrics.measure_audit(service.audit.as_ref());
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let (kind, text) = if accepted.is_some_and(|accepted| accepted.contains(OPEN_METRICS)) {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (kind, ops.exposition.open_metrics())
    } else {
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        (kind, ops.exposition.text())
    };
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Whether keys are served, and what is wrong.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Keys are served.
    ready: bool,
    /// Why they are not.
    missing: Vec<String>,
    /// What is wrong although they are.
    warnings: Vec<String>,
}

impl Readiness {
    /// Keys are served while the audit log can be written and each keyspace has its bucket;
    /// neither store nor HSM is needed for that.
    #[must_use]
    pub fn of(service: &ApiState) -> Self {
        let (keyring, now) = (service.key_state.keyring(), service.now());
        let mut missing: Vec<String> = keyring
            .keyspaces
            .values()
            .filter(|keyspace| {
                let policy = &keyspace.policy;
                let placements = policy.retentions().map(|it| grid::place(policy, it, now));
                let mut expiries = placements.map(|it| it.expiry);
                !expiries.all(|expiry| keyring.buckets.contains_key(&expiry))
            })
            .map(|keyspace| format!("keyspace {} has no bucket: the HSM is away", keyspace.name))
            .collect();
        missing.extend(service.audit.check().err().map(|error| error.to_string()));
        if !service.has_lease() {
            missing.push("the claim in the HSM was not looked at for too long".into());
        }
        let clock = service.clock_trouble();
        let keys_wait = service.clock.reading().doubt.is_some();
        missing.extend(clock.clone().filter(|_| keys_wait));
        let condition = service.condition.lock();
        let mut warnings: Vec<String> = condition
            .hsm
            .iter()
            .chain(&condition.store)
            .chain(&condition.configuration)
            .cloned()
            .collect();
        warnings.extend(service.hsm_moves.warnings());
        warnings.extend(clock.filter(|_| !keys_wait));
        if !condition.overdue.is_empty() {
            warnings.push(format!(
                "{} expired buckets are not destroyed yet",
                condition.overdue.len()
            ));
        }
        Self {
            ready: missing.is_empty(),
            missing,
            warnings,
        }
    }
}

async fn readyz(State(ops): State<Ops>) -> impl IntoResponse {
    let readiness = Readiness::of(&ops.service);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}
