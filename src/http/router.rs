use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};

use super::clock::ConfirmClock;
use super::data_keys::{Issue, Rewrap, Unwrap};
use super::expiries::Expiries;
use super::keyspaces::{Erase, List, Put, Show};
use super::openapi::Specification;
use super::problem::{Code, Problem};
use super::road::{refuse, travel};
use super::root::RotateRoot;
use super::status::Status;
use super::verification_keys::VerificationKeys;
use super::{approvals, shreds, versions};
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
        .route(
            "/v1/keyspaces/{keyspace}/data-keys/rewrap",
            post(travel::<Rewrap>),
        )
        .route(
            "/v1/keyspaces/{keyspace}/shreds",
            post(travel::<shreds::Create>),
        )
        .route(
            "/v1/keyspaces/{keyspace}/shreds/{id}",
            get(travel::<shreds::Show>),
        )
        .route(
            "/v1/keyspaces/{keyspace}/versions",
            post(travel::<versions::Create>),
        )
        .route(
            "/v1/keyspaces/{keyspace}/versions/{version}",
            delete(travel::<versions::Drop>),
        )
        .route("/v1/keyspaces", get(travel::<List>))
        .route(
            one,
            get(travel::<Show>)
                .put(travel::<Put>)
                .delete(travel::<Erase>),
        )
        .route("/v1/root/rotations", post(travel::<RotateRoot>))
        .route("/v1/approvals", get(travel::<approvals::List>))
        .route(
            "/v1/approvals/{id}",
            get(travel::<approvals::Show>).post(travel::<approvals::Approve>),
        )
        .route("/v1/clock/confirmations", post(travel::<ConfirmClock>))
        .route("/v1/expiries", get(travel::<Expiries>))
        .route("/v1/status", get(travel::<Status>))
        .route("/v1/verification-keys", get(travel::<VerificationKeys>))
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
