//! Health, readiness and metrics: plain HTTP, on an address of its own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use lethe_core::grid;
use serde::Serialize;

use crate::metrics::Exposition;
use crate::service::Service;

/// What the ops listener needs.
#[derive(Clone)]
pub struct Ops {
    /// The service.
    pub service: Arc<Service>,
    /// Its metrics.
    pub exposition: Arc<Exposition>,
}

/// `/healthz`, `/readyz`, `/metrics`
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops)
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ops.service.limits.show(ops.service.now());
    ops.service.metrics.measure_process();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], ops.exposition.text())
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
    pub fn of(service: &Service) -> Self {
        let (keyring, now) = (service.live.keyring(), service.now());
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
