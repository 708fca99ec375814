//! The table of routes. The router, the OpenAPI document, the metrics and the tests read it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use hyper::Method;

use super::body;
use super::call::Endpoint;
use super::clock::ConfirmClock;
use super::data_keys::{Issue, Rewrap, Unwrap};
use super::expiries::Expiries;
use super::hsm_moves::{MoveHsm, ShowHsmMove};
use super::keyspaces::{Erase, List, Put, Show};
use super::openapi::{Description, Specification};
use super::pipeline::handle;
use super::problem::{Code, Problem};
use super::request::RequestContext;
use super::root::RotateRoot;
use super::state::ApiState;
use super::status::Status;
use super::verification_keys::VerificationKeys;
use super::{approvals, shreds, versions};
use crate::identity::Role;

/// One endpoint under its method and path.
#[derive(Debug, Clone)]
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// Name of the operation in audit records, metrics and the OpenAPI document.
    pub operation: &'static str,
    /// Roles that may call it.
    pub roles: &'static [Role],
    /// Its description in the OpenAPI document.
    pub(super) describe: fn() -> Description,
    mount: fn() -> MethodRouter<Arc<ApiState>>,
}

impl Route {
    fn new<E: Endpoint>(
        method: Method,
        path: &'static str,
        mount: fn() -> MethodRouter<Arc<ApiState>>,
    ) -> Self {
        Self {
            method,
            path,
            operation: E::NAME,
            roles: E::ROLES,
            describe: E::describe,
            mount,
        }
    }
}

fn get<E: Endpoint>(path: &'static str) -> Route {
    Route::new::<E>(Method::GET, path, || routing::get(handle::<E>))
}

fn post<E: Endpoint>(path: &'static str) -> Route {
    Route::new::<E>(Method::POST, path, || routing::post(handle::<E>))
}

fn put<E: Endpoint>(path: &'static str) -> Route {
    Route::new::<E>(Method::PUT, path, || routing::put(handle::<E>))
}

fn delete<E: Endpoint>(path: &'static str) -> Route {
    Route::new::<E>(Method::DELETE, path, || routing::delete(handle::<E>))
}

/// Every endpoint of the API. An endpoint that is not in this table is not served.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        post::<Issue>("/v1/keyspaces/{keyspace}/data-keys"),
        post::<Unwrap>("/v1/keyspaces/{keyspace}/data-keys/unwrap"),
        post::<Rewrap>("/v1/keyspaces/{keyspace}/data-keys/rewrap"),
        post::<shreds::Create>("/v1/keyspaces/{keyspace}/shreds"),
        post::<shreds::CreateAcross>("/v1/shreds"),
        get::<shreds::Show>("/v1/keyspaces/{keyspace}/shreds/{id}"),
        post::<versions::Create>("/v1/keyspaces/{keyspace}/versions"),
        delete::<versions::Drop>("/v1/keyspaces/{keyspace}/versions/{version}"),
        get::<List>("/v1/keyspaces"),
        get::<Show>("/v1/keyspaces/{keyspace}"),
        put::<Put>("/v1/keyspaces/{keyspace}"),
        delete::<Erase>("/v1/keyspaces/{keyspace}"),
        post::<RotateRoot>("/v1/root/rotations"),
        post::<MoveHsm>("/v1/hsm/moves"),
        get::<ShowHsmMove>("/v1/hsm/moves"),
        get::<approvals::List>("/v1/approvals"),
        post::<approvals::ApproveMany>("/v1/approvals"),
        get::<approvals::Show>("/v1/approvals/{id}"),
        post::<approvals::Approve>("/v1/approvals/{id}"),
        delete::<approvals::Withdraw>("/v1/approvals/{id}"),
        post::<ConfirmClock>("/v1/clock/confirmations"),
        get::<Expiries>("/v1/expiries"),
        get::<Status>("/v1/status"),
        get::<VerificationKeys>("/v1/verification-keys"),
        get::<Specification>("/v1/openapi.json"),
    ]
}

/// The router of the API.
pub(super) fn router(service: Arc<ApiState>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, (route.mount)());
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(service)
}

async fn not_found(context: Extension<Arc<RequestContext>>, request: Request) -> Response {
    refuse(
        &context,
        request,
        Problem::new(Code::NotFound, "no such resource"),
    )
    .await
}

/// axum adds `Allow` (RFC 9110 section 15.5.6).
async fn method_not_allowed(context: Extension<Arc<RequestContext>>, request: Request) -> Response {
    let problem = Problem::new(Code::MethodNotAllowed, "not with this method");
    refuse(&context, request, problem).await
}

/// Answers a request that no endpoint runs. A record names an operation, and there is none.
async fn refuse(context: &RequestContext, request: Request, problem: Problem) -> Response {
    let (parts, mut incoming) = request.into_parts();
    context.count_unrecorded();
    body::discard(&parts.headers, &mut incoming, context).await;
    problem.into_response()
}
