use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::call::Operation;
use super::clock::ConfirmClock;
use super::data_keys::{Issue, Rewrap, Unwrap};
use super::expiries::Expiries;
use super::hsm_moves::{MoveHsm, ShowHsmMove};
use super::keyspaces::{Erase, List, Put, Show};
use super::openapi::Specification;
use super::problem::{Code, Problem};
use super::road::{refuse, travel};
use super::root::RotateRoot;
use super::status::Status;
use super::verification_keys::VerificationKeys;
use super::{approvals, shreds, versions};
use crate::access::Role;
use crate::service::Service;

/// One endpoint as it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// With this method.
    pub method: Method,
    /// Under this path; parameters in braces.
    pub path: &'static str,
    /// Its name in audit records, metrics and the OpenAPI document.
    pub operation: &'static str,
    /// Who may call it.
    pub roles: &'static [Role],
}

/// The router, and what is in it: the only way in is to be listed.
#[derive(Default)]
struct Table {
    router: Router<Arc<Service>>,
    routes: Vec<Route>,
}

impl Table {
    fn with<O: Operation>(mut self, verb: Verb, path: &'static str) -> Self {
        let (filter, method) = verb.both();
        self.router = self.router.route(path, on(filter, travel::<O>));
        self.routes.push(Route {
            method,
            path,
            operation: O::NAME,
            roles: O::ROLES,
        });
        self
    }
}

/// The methods of the API: axum has no way from its filter back to the method.
enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    const fn both(self) -> (MethodFilter, Method) {
        match self {
            Self::Get => (MethodFilter::GET, Method::GET),
            Self::Post => (MethodFilter::POST, Method::POST),
            Self::Put => (MethodFilter::PUT, Method::PUT),
            Self::Delete => (MethodFilter::DELETE, Method::DELETE),
        }
    }
}

/// Every endpoint of the API.
fn table() -> Table {
    Table::default()
        .with::<Issue>(Verb::Post, "/v1/keyspaces/{keyspace}/data-keys")
        .with::<Unwrap>(Verb::Post, "/v1/keyspaces/{keyspace}/data-keys/unwrap")
        .with::<Rewrap>(Verb::Post, "/v1/keyspaces/{keyspace}/data-keys/rewrap")
        .with::<shreds::Create>(Verb::Post, "/v1/keyspaces/{keyspace}/shreds")
        .with::<shreds::Show>(Verb::Get, "/v1/keyspaces/{keyspace}/shreds/{id}")
        .with::<versions::Create>(Verb::Post, "/v1/keyspaces/{keyspace}/versions")
        .with::<versions::Drop>(Verb::Delete, "/v1/keyspaces/{keyspace}/versions/{version}")
        .with::<List>(Verb::Get, "/v1/keyspaces")
        .with::<Show>(Verb::Get, "/v1/keyspaces/{keyspace}")
        .with::<Put>(Verb::Put, "/v1/keyspaces/{keyspace}")
        .with::<Erase>(Verb::Delete, "/v1/keyspaces/{keyspace}")
        .with::<RotateRoot>(Verb::Post, "/v1/root/rotations")
        .with::<MoveHsm>(Verb::Post, "/v1/hsm/moves")
        .with::<ShowHsmMove>(Verb::Get, "/v1/hsm/moves")
        .with::<approvals::List>(Verb::Get, "/v1/approvals")
        .with::<approvals::Show>(Verb::Get, "/v1/approvals/{id}")
        .with::<approvals::Approve>(Verb::Post, "/v1/approvals/{id}")
        .with::<approvals::Withdraw>(Verb::Delete, "/v1/approvals/{id}")
        .with::<ConfirmClock>(Verb::Post, "/v1/clock/confirmations")
        .with::<Expiries>(Verb::Get, "/v1/expiries")
        .with::<Status>(Verb::Get, "/v1/status")
        .with::<VerificationKeys>(Verb::Get, "/v1/verification-keys")
        .with::<Specification>(Verb::Get, "/v1/openapi.json")
}

/// What [`router`] answers to.
#[must_use]
pub fn routes() -> Vec<Route> {
    table().routes
}

/// Every route of the API.
pub fn router(service: Arc<Service>) -> Router {
    table()
        .router
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
