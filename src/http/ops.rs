//! The ops listener: health, readiness and metrics over plain HTTP, on an address of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{self, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use lethe_core::grid;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tower::Service as _;

use super::answer::Answer;
use super::browser::{is_of_a_page, names_loopback};
use super::server::{Timeouts, Transport, accept};
use super::socket::Socket;
use super::state::ApiState;
use crate::admission::{Connection, Pool};
use crate::observability::metrics::Exposition;

/// The state of the ops listener.
#[derive(Clone)]
pub struct Ops {
    /// The service.
    pub service: Arc<ApiState>,
    /// Its metrics.
    pub exposition: Arc<Exposition>,
}

/// What `/readyz` says while the service starts: why it does not serve yet.
pub type Starting = watch::Sender<String>;

/// What the ops listener answers: other things while the service starts than when it is open.
#[derive(Clone)]
pub struct Routes {
    routers: watch::Sender<Router>,
    /// Whether it listens on loopback.
    loopback: bool,
}

impl Routes {
    /// Those of a service that starts.
    #[must_use]
    pub fn starting(listener: &TcpListener, starting: &Starting) -> Self {
        let loopback = listener.local_addr().is_ok_and(|it| it.ip().is_loopback());
        let router = Router::new()
            .route("/readyz", get(not_ready))
            .route("/metrics", get(metrics_of_a_start))
            .with_state(starting.subscribe());
        let routers = watch::Sender::new(common(router, loopback));
        Self { routers, loopback }
    }

    /// From now on those of an open service.
    pub fn open(&self, ops: Ops) {
        ops.service.metrics.serving.set(1);
        let router = Router::new()
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(ops);
        self.routers
            .send_modify(|it| *it = common(router, self.loopback));
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` until `stop`, on as many connections at once as `pool` has
/// places. One more closes the oldest one that waits for its client.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    pool: Arc<Pool>,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
) {
    loop {
        let Some((stream, address)) = accept(&listener).await else {
            continue;
        };
        let connection = Arc::new(Connection::default());
        let Some(place) = pool.enter(address, &connection) else {
            continue;
        };
        let socket = Socket::new(stream, Arc::clone(&connection), place);
        let (routers, stop) = (routes.routers.subscribe(), stop.clone());
        tokio::spawn(async move {
            let of = Arc::clone(&connection);
            let service = service_fn(move |request: Request<Incoming>| {
                let active = of.begin();
                let mut router = routers.borrow().clone();
                let answer = router.call(request);
                async move {
                    let response = answer.await;
                    response.map(|response| response.map(|body| Answer::new(body, active)))
                }
            });
            let transport = Transport {
                timeouts,
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

/// Refuses requests of web pages, and on loopback requests that name another host.
async fn refuse_pages(
    State(loopback): State<bool>,
    request: extract::Request,
    next: Next,
) -> Response {
    if is_of_a_page(request.headers()) || (loopback && !names_loopback(&request)) {
        let why = "a request of a web page, or for another host, is not taken\n";
        return (StatusCode::FORBIDDEN, Vec::from(why)).into_response();
    }
    next.run(request).await
}

/// What is the same in both states.
fn common(router: Router, loopback: bool) -> Router {
    let router = router.route("/healthz", get(async || "ok\n"));
    router.layer(middleware::from_fn_with_state(loopback, refuse_pages))
}

const OPEN_METRICS: &str = "application/openmetrics-text";

async fn metrics(State(ops): State<Ops>, headers: HeaderMap) -> impl IntoResponse {
    let service = &ops.service;
    service.limits.show(service.node.now());
    service.admission.show();
    measure_node(service);
    service.metrics.measure_process();
    service.metrics.measure_audit(service.audit.as_ref());
    render(ops.exposition, headers).await
}

/// Nothing else is known yet: a gauge that nobody has set would say that the HSM is away.
async fn metrics_of_a_start() -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let text = "# HELP lethe_serving Whether this node serves.\n# TYPE lethe_serving gauge\nlethe_serving 0\n";
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn render(exposition: Arc<Exposition>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let open = accepted.is_some_and(|accepted| accepted.contains(OPEN_METRICS));
    let kind = match open {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    let text = exposition.render_in_turn(open).await;
    ([(header::CONTENT_TYPE, kind)], text)
}

/// What the node knows just now: its clock, HSM, store, keyspaces and erasures.
fn measure_node(service: &ApiState) {
    let ApiState { node, metrics, .. } = service;
    let reading = node.clock.reading();
    metrics.clock(&reading, node.clock.doubt().is_some());
    metrics.condition(&node.condition.lock(), service.max_objects);
    let keyspaces = node.key_state.keyring().keyspaces.len();
    metrics.keyspaces.set(keyspaces as i64);
    let backlog = service.pending_erasures.backlog();
    metrics.backlog(backlog.erasures, backlog.oldest, reading.now);
}

/// Whether keys are served, and what is wrong.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether keys are served.
    ready: bool,
    /// Why they are not served.
    missing: Vec<String>,
    /// What is wrong although they are served.
    warnings: Vec<String>,
}

impl Readiness {
    /// Keys are served while the audit log can be written and each keyspace has its bucket. Neither the
    /// store nor the HSM is needed for that.
    #[must_use]
    pub fn of(service: &ApiState) -> Self {
        let (keyring, now) = (service.node.key_state.keyring(), service.node.now());
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
        if !service.node.has_lease() {
            missing
                .push("the store, or the claim in the HSM, was not looked at for too long".into());
        }
        let clock = service.node.clock_warning();
        let keys_wait = service.node.clock.reading().doubt.is_some();
        missing.extend(clock.clone().filter(|_| keys_wait));
        let condition = service.node.condition.lock();
        let parts = [&condition.store, &condition.configuration];
        let parts = parts.map(Option::as_deref).into_iter().flatten();
        let parts = condition.hsm().into_iter().chain(parts);
        let mut warnings: Vec<String> = parts.map(str::to_owned).collect();
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
    say(&Readiness::of(&ops.service))
}

async fn not_ready(State(starting): State<watch::Receiver<String>>) -> impl IntoResponse {
    say(&Readiness {
        ready: false,
        missing: vec![starting.borrow().clone()],
        warnings: Vec::new(),
    })
}

fn say(readiness: &Readiness) -> impl IntoResponse + use<> {
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // Of numbers, texts and lists: they can always be written.
    let mut text = serde_json::to_string(readiness).unwrap_or_default();
    text.push('\n');
    (status, [(header::CONTENT_TYPE, "application/json")], text)
}
