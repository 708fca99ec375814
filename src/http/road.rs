//! The road of every request: identify, authorize, run, record, check again, answer. Whatever an
//! endpoint does, it cannot be reached by a stranger and no key leaves before its record is
//! durable (promise P4).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, header};
use lethe_core::audit::{Event, Record};
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::Clock;
use lethe_core::refusals::Target;
use lethe_core::time::Timestamp;
use lethe_core::tree::LeafId;
use tokio::task::JoinHandle;

use super::answer::{Answer, Response, response};
use super::body;
use super::call::{Call, Done, Operation, RequestId};
use super::path::Path;
use super::patience::TooLong;
use super::problem::{Code, Problem};
use super::server::Connected;
use crate::access::{Rules, SpiffeId};
use crate::clock::{HandshakeClock, SystemClock};
use crate::service::Service;
use crate::telemetry::Trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer where there is no endpoint.
pub(super) fn refuse(service: &Service, problem: &Problem) -> Response {
    let mut response = problem.response();
    let id = RequestId::next(service);
    response.headers_mut().insert(REQUEST_ID, id.header());
    response
}

/// The handler of an endpoint.
pub(super) fn travel<O: Operation>(
    service: Arc<Service>,
    connected: Arc<Connected>,
    path: Path,
    request: Request<Incoming>,
) -> Answer {
    Box::pin(travelled::<O>(service, connected, path, request))
}

async fn travelled<O: Operation>(
    service: Arc<Service>,
    connected: Arc<Connected>,
    path: Path,
    request: Request<Incoming>,
) -> Response {
    let begun = SystemClock.since_boot();
    let id = RequestId::next(&service);
    let trace = match &service.telemetry {
        Some(telemetry) => telemetry.request(O::NAME, request.headers()),
        None => Trace::default(),
    };
    let place = service.limits.enter();
    if place.is_none() {
        let code = Code::Overloaded;
        service
            .metrics
            .answered(O::NAME, code.name(), Duration::ZERO);
        let problem = Problem::new(code, "too many requests are under way");
        let response = refuse(&service, &problem);
        trace.answered(response.status(), code.name(), 0);
        return response;
    }
    let limit = service.request_timeout;
    let patience = &connected.patience;
    // Pinned where it is made and only lent, so that nothing of its size is moved or kept twice.
    let result = if O::LASTS {
        let (whole, behind) = (Arc::clone(&service), Arc::clone(&connected));
        let task = tokio::spawn(go::<O>(whole, behind, id, trace.clone(), path, request));
        patience.within(limit, pin!(ended(task))).await
    } else {
        let traveller = Traveller {
            service: &service,
            connected: &connected,
            id,
            trace: &trace,
        };
        let travelled = pin!(traveller.go::<O>(path, request));
        patience.within(limit, travelled).await
    };
    let result = result.unwrap_or_else(|TooLong| {
        let why = "the request took too long";
        Err(Problem::new(Code::Overloaded, why))
    });
    let code = result
        .as_ref()
        .map_or_else(|problem| problem.code.name(), |_| "ok");
    let took = SystemClock.since_boot().saturating_sub(begun);
    service.metrics.answered(O::NAME, code, took);
    let items = result.as_ref().map_or(0, Done::items);
    let mut response = result.map_or_else(|problem| problem.response(), answer);
    response.headers_mut().insert(REQUEST_ID, id.header());
    response.body_mut().place = place;
    trace.answered(response.status(), code, items);
    response
}

async fn go<O: Operation>(
    service: Arc<Service>,
    connected: Arc<Connected>,
    id: RequestId,
    trace: Trace,
    path: Path,
    request: Request<Incoming>,
) -> Result<Done, Problem> {
    let traveller = Traveller {
        service: &service,
        connected: &connected,
        id,
        trace: &trace,
    };
    traveller.go::<O>(path, request).await
}

/// A task that panics is a fault of ours, and no answer.
async fn ended(task: JoinHandle<Result<Done, Problem>>) -> Result<Done, Problem> {
    task.await
        .unwrap_or_else(|_| Err(Problem::new(Code::Overloaded, "the request failed")))
}

fn answer(done: Done) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let mut response = response(done.status, kind, done.body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let location = done.location.and_then(|it| HeaderValue::from_str(&it).ok());
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    response
}

struct Traveller<'a> {
    service: &'a Arc<Service>,
    connected: &'a Arc<Connected>,
    id: RequestId,
    trace: &'a Trace,
}

impl Traveller<'_> {
    async fn go<O: Operation>(
        &self,
        path: Path,
        request: Request<Incoming>,
    ) -> Result<Done, Problem> {
        let (parts, mut incoming) = request.into_parts();
        let now = self.service.now();
        let keyspace = path.keyspace;
        let (client, authorized) = {
            // Both under the same rules.
            let rules = self.service.gate.rules();
            let client = self.identify(&rules)?;
            let authorized = authorize::<O>(&rules, &client, &keyspace);
            (client, authorized)
        };
        let admitted = match authorized {
            Ok(()) => body_of::<O>(&parts.headers, &mut incoming).await,
            Err(problem) => Err(problem),
        };
        let body = match admitted {
            Ok(body) => body,
            Err(problem) => {
                body::discard(&parts.headers, &mut incoming).await;
                let named = keyspace.as_ref().ok().and_then(Option::as_ref);
                let refused = Err(problem);
                self.record::<O>(now, &client, named, &refused).await?;
                return refused;
            }
        };
        let call = Call {
            service: Arc::clone(self.service),
            client,
            key: self.connected.session.key(),
            now,
            reading: self.service.clock.reading(),
            keyspace: keyspace?,
            body,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            parameters: path.parameters,
            respond_async: prefers_async(&parts.headers),
            trace: self.trace.clone(),
        };
        // Else hyper's buffer would stay in use while the record is written: see `body::own`.
        drop((parts, incoming));
        // Once, but for a shred that came in between.
        loop {
            let outcome = match self.check_lease() {
                Ok(()) => O::run(&call).await,
                Err(problem) => Err(problem),
            };
            self.record::<O>(now, &call.client, call.keyspace.as_ref(), &outcome)
                .await?;
            if let Some(done) = self.check_again::<O>(outcome?)? {
                O::left(&call, &done);
                return Ok(done);
            }
        }
    }

    /// A client is the SPIFFE id of its certificate, for as long as that is taken.
    fn identify(&self, rules: &Rules) -> Result<SpiffeId, Problem> {
        let session = &self.connected.session;
        let client = session.client(rules, HandshakeClock.now()).cloned();
        client.map_err(|nobody| Problem::new(Code::Forbidden, nobody.to_string()))
    }

    /// A refusal is recorded too, but need not wait: no key leaves.
    async fn record<O: Operation>(
        &self,
        now: Timestamp,
        client: &SpiffeId,
        keyspace: Option<&KeyspaceName>,
        outcome: &Result<Done, Problem>,
    ) -> Result<(), Problem> {
        let done = outcome.as_ref().ok();
        let record = Record::new(&Event {
            time: now,
            request: self.id.as_str(),
            client: client.as_str(),
            operation: O::NAME,
            keyspace,
            outcome: outcome
                .as_ref()
                .map_or_else(|problem| problem.code.name(), |done| done.outcome),
            keys: done.map_or(&[], |done| &done.keys),
            refused: done.map_or(0, |done| done.refused),
            requests: done.map_or(&[], |done| &done.requests),
        });
        let part = self.trace.part("audit record");
        let begun = SystemClock.since_boot();
        let appended = self.service.audit.append(record).await;
        drop(part);
        let took: Duration = SystemClock.since_boot().saturating_sub(begun);
        self.service.metrics.recorded(took);
        match appended {
            Err(error) if done.is_some_and(|done| !done.requests.is_empty()) => {
                tracing::error!(%error, "what is done and cannot be undone is not on record");
                Ok(())
            }
            Err(_) => Err(Problem::new(
                Code::AuditUnavailable,
                "the audit log cannot be written",
            )),
            Ok(()) => Ok(()),
        }
    }

    /// Whoever may have been taken for dead meanwhile does and says nothing more.
    fn check_lease(&self) -> Result<(), Problem> {
        if self.service.has_lease() {
            return Ok(());
        }
        let why = "another copy of the store may be served meanwhile";
        Err(Problem::new(Code::LeaseLost, why))
    }

    /// The record took its time: what expired or was shredded meanwhile does not leave any more.
    /// None: the call has to be run again.
    fn check_again<O: Operation>(&self, done: Done) -> Result<Option<Done>, Problem> {
        let refusals = &self.service.live.refusals;
        let refused = |leaf: &LeafId| {
            let targets = [
                Target::Leaf(*leaf),
                Target::Tree(leaf.tree),
                Target::Keyspace(leaf.tree.keyspace),
            ];
            targets.iter().any(|target| refusals.of(*target).is_some())
        };
        if done.refusals != refusals.changes() && done.leaves.iter().any(refused) {
            return Ok(None);
        }
        if let Some(expiry) = done.earliest_expiry() {
            Problem::of_expiry(self.service.clock.judge(expiry))?;
        }
        if !done.keys.is_empty() {
            self.check_lease()?;
            self.service.metrics.keys_left(O::NAME, done.keys.len());
        }
        Ok(Some(done))
    }
}

fn authorize<O: Operation>(
    rules: &Rules,
    client: &SpiffeId,
    keyspace: &Result<Option<KeyspaceName>, Problem>,
) -> Result<(), Problem> {
    let forbidden = |why| Problem::new(Code::Forbidden, why);
    let grant = rules.access().grant(client);
    let grant = grant.ok_or_else(|| forbidden("this client is not known"))?;
    if !O::ROLES.contains(&grant.role) {
        return Err(forbidden("this role may not do that"));
    }
    match keyspace {
        Ok(Some(keyspace)) if !grant.allows(keyspace) => {
            Err(forbidden("this keyspace is not granted"))
        }
        Ok(_) => Ok(()),
        Err(problem) => Err(problem.clone()),
    }
}

async fn body_of<O: Operation>(
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<Bytes, Problem> {
    if O::BODY {
        body::read(headers, incoming).await
    } else {
        Ok(Bytes::new())
    }
}

/// RFC 7240: preferences are separated by commas, parameters by semicolons.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter();
    let mut preferences = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    preferences.any(|one| {
        let name = one.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("respond-async")
    })
}
