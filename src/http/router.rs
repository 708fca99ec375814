use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, header};
use matchit::InsertError;

use super::answer::{Answer, Response};
use super::body;
use super::call::Endpoint;
use super::clock::ConfirmClock;
use super::data_keys::{Issue, Rewrap, Unwrap};
use super::expiries::Expiries;
use super::hsm_moves::{MoveHsm, ShowHsmMove};
use super::keyspaces::{Erase, List, Put, Show};
use super::openapi::Specification;
use super::path::Path;
use super::pipeline::{Arrival, handle_boxed};
use super::problem::{Code, Problem};
use super::root::RotateRoot;
use super::server::ConnectionContext;
use super::state::ApiState;
use super::status::Status;
use super::verification_keys::VerificationKeys;
use super::{approvals, shreds, versions};
use crate::identity::Role;

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

/// Runs an endpoint.
type Handler = fn(Arc<ApiState>, Arc<ConnectionContext>, Path, Request<Incoming>) -> Answer;

/// What a path answers to.
type Methods = Vec<(Method, Handler)>;

/// All handlers, and what is told of them: the only way in is to be listed.
#[derive(Default)]
struct Table {
    paths: BTreeMap<&'static str, Methods>,
    routes: Vec<Route>,
}

impl Table {
    fn with<E: Endpoint>(mut self, method: Method, path: &'static str) -> Self {
        let methods = self.paths.entry(path).or_default();
        methods.push((method.clone(), handle_boxed::<E>));
        self.routes.push(Route {
            method,
            path,
            operation: E::NAME,
            roles: E::ROLES,
        });
        self
    }
}

/// Every endpoint of the API.
fn table() -> Table {
    Table::default()
        .with::<Issue>(Method::POST, "/v1/keyspaces/{keyspace}/data-keys")
        .with::<Unwrap>(Method::POST, "/v1/keyspaces/{keyspace}/data-keys/unwrap")
        .with::<Rewrap>(Method::POST, "/v1/keyspaces/{keyspace}/data-keys/rewrap")
        .with::<shreds::Create>(Method::POST, "/v1/keyspaces/{keyspace}/shreds")
        .with::<shreds::CreateAcross>(Method::POST, "/v1/shreds")
        .with::<shreds::Show>(Method::GET, "/v1/keyspaces/{keyspace}/shreds/{id}")
        .with::<versions::Create>(Method::POST, "/v1/keyspaces/{keyspace}/versions")
        .with::<versions::Drop>(
            Method::DELETE,
            "/v1/keyspaces/{keyspace}/versions/{version}",
        )
        .with::<List>(Method::GET, "/v1/keyspaces")
        .with::<Show>(Method::GET, "/v1/keyspaces/{keyspace}")
        .with::<Put>(Method::PUT, "/v1/keyspaces/{keyspace}")
        .with::<Erase>(Method::DELETE, "/v1/keyspaces/{keyspace}")
        .with::<RotateRoot>(Method::POST, "/v1/root/rotations")
        .with::<MoveHsm>(Method::POST, "/v1/hsm/moves")
        .with::<ShowHsmMove>(Method::GET, "/v1/hsm/moves")
        .with::<approvals::List>(Method::GET, "/v1/approvals")
        .with::<approvals::ApproveMany>(Method::POST, "/v1/approvals")
        .with::<approvals::Show>(Method::GET, "/v1/approvals/{id}")
        .with::<approvals::Approve>(Method::POST, "/v1/approvals/{id}")
        .with::<approvals::Withdraw>(Method::DELETE, "/v1/approvals/{id}")
        .with::<ConfirmClock>(Method::POST, "/v1/clock/confirmations")
        .with::<Expiries>(Method::GET, "/v1/expiries")
        .with::<Status>(Method::GET, "/v1/status")
        .with::<VerificationKeys>(Method::GET, "/v1/verification-keys")
        .with::<Specification>(Method::GET, "/v1/openapi.json")
}

/// What a [`Router`] answers to.
#[must_use]
pub fn routes() -> Vec<Route> {
    table().routes
}

/// Every route of the API. Paths are found by `matchit` and answered by hyper as it is: a framework
/// around these two costs a tenth of what a key does (docs/adr/0005-throughput.md).
pub struct Router {
    service: Arc<ApiState>,
    paths: matchit::Router<Methods>,
}

impl Router {
    /// For a service.
    ///
    /// # Errors
    /// [`InsertError`] when two paths mean the same.
    pub fn new(service: Arc<ApiState>) -> Result<Self, InsertError> {
        let mut paths = matchit::Router::new();
        for (path, methods) in table().paths {
            paths.insert(path, methods)?;
        }
        Ok(Self { service, paths })
    }

    /// Answers a request of a connection.
    pub(super) fn answer(
        &self,
        connected: &Arc<ConnectionContext>,
        request: Request<Incoming>,
    ) -> Answer {
        if request.method() == Method::HEAD {
            let answer = self.whole(&Method::GET, connected, request);
            return Box::pin(async { answer.await.without_content() });
        }
        let method = request.method().clone();
        self.whole(&method, connected, request)
    }

    /// With its content, whatever was asked for.
    fn whole(
        &self,
        method: &Method,
        connected: &Arc<ConnectionContext>,
        request: Request<Incoming>,
    ) -> Answer {
        let Ok(found) = self.paths.at(request.uri().path()) else {
            let problem = Problem::new(Code::NotFound, "no such resource");
            return self.refuse(connected, request, problem.response());
        };
        let methods = found.value;
        let Some((_, handler)) = methods.iter().find(|(it, _)| it == method) else {
            let problem = Problem::new(Code::MethodNotAllowed, "not with this method");
            let mut response = problem.response();
            let allowed = allowed(methods).map(|methods| (header::ALLOW, methods));
            response.headers_mut().extend(allowed);
            return self.refuse(connected, request, response);
        };
        let path = Path::of(&found.params);
        let (service, connected) = (Arc::clone(&self.service), Arc::clone(connected));
        handler(service, connected, path, request)
    }

    /// The answer where there is no endpoint.
    fn refuse(
        &self,
        connected: &Arc<ConnectionContext>,
        request: Request<Incoming>,
        response: Response,
    ) -> Answer {
        let arrival = Arrival::new(&self.service);
        let connected = Arc::clone(connected);
        let (parts, mut incoming) = request.into_parts();
        Box::pin(async move {
            body::discard(&parts.headers, &mut incoming, &connected.connection).await;
            let permit = connected.account().request();
            arrival.refuse(&connected, permit, response).await
        })
    }
}

/// RFC 9110 section 15.5.6: which methods would do.
fn allowed(methods: &Methods) -> Option<HeaderValue> {
    let mut names: Vec<_> = methods.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&Method::GET.as_str()) {
        names.push(Method::HEAD.as_str());
    }
    HeaderValue::from_str(&names.join(",")).ok()
}
