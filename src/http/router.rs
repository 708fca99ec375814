use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};

use super::data_keys::{Issue, Unwrap};
use super::keyspaces::{List, Put, Show};
use super::openapi::Specification;
use super::problem::{Code, Problem};
use super::road::{refuse, travel};
use super::status::Status;
use crate::service::Service;

/// Every route of the API.
pub fn router(service: Arc<Service>) -> Router {
    let one = "/v1/keyspaces/{keyspace}";
    Router::new()
        .route("/v1/keyspaces/{keyspace}/data-keys", post(travel::<Issue>))
        .route(
            "/v1/keyspaces/{keyspace}/data-keys/unwrap",
            post(travel::<Unwrap>),
        )
        .route("/v1/keyspaces", get(travel::<List>))
        .route(one, get(travel::<Show>).put(travel::<Put>))
        .route("/v1/status", get(travel::<Status>))
        .route("/v1/openapi.json", get(travel::<Specification>))
        .fallback(async |State(service): State<Arc<Service>>| {
            refuse(&service, Problem::new(Code::NotFound, "no such resource"))
        })
        .method_not_allowed_fallback(async |State(service): State<Arc<Service>>| {
            refuse(
                &service,
                Problem::new(Code::MethodNotAllowed, "not with this method"),
            )
        })
        .with_state(service)
}
