//! The road of every request: identify, authorize, run, record, check again, answer. Whatever an
//! endpoint does, it cannot be reached by a stranger and no key leaves before its record is
//! durable (`docs/design.md#p4`).

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, header};
use lethe_core::audit::{Event, Record};
use lethe_core::clock::Judgement;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::Clock;
use lethe_core::refusals::Target;
use lethe_core::time::Timestamp;
use lethe_core::tree::LeafId;
use tokio::task::JoinHandle;

use super::answer::{Answer, Reply, Response, response};
use super::body;
use super::browser::is_of_a_page;
use super::call::{Call, Endpoint, Outcome, RequestId};
use super::path::Path;
use super::problem::{Code, Problem};
use super::server::ConnectionContext;
use super::state::ApiState;
use super::time_limit::TimedOut;
use crate::admission::{RequestPermit, records};
use crate::identity::{Grant, Rules, SpiffeId};
use crate::node::clock::{HandshakeClock, SystemClock};
use crate::observability::telemetry::Trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The service's time in milliseconds, so that leases can be kept on a monotonic clock.
const TIME: HeaderName = HeaderName::from_static("lethe-time");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// A request as it comes.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    id: RequestId,
    /// The whole request has one time.
    now: Timestamp,
}

impl Arrival {
    pub(super) fn new(service: &ApiState) -> Self {
        Self {
            id: RequestId::new(&service.entropy),
            now: service.now(),
        }
    }

    /// Sets what every answer bears.
    fn sign(self, response: &mut Response, connection: &ConnectionContext) {
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.id.header());
        headers.insert(TIME, self.now.as_millis().into());
        if let Some(keep_alive) = &connection.keep_alive {
            headers.insert(KEEP_ALIVE, keep_alive.clone());
        }
    }

    /// The answer of a refusal. Strangers wait for theirs when they ask for too many.
    pub(super) async fn refuse(
        self,
        connection: &ConnectionContext,
        permit: RequestPermit,
        mut response: Response,
    ) -> Reply {
        if let Some(delay) = connection.account().answer_delay() {
            tokio::time::sleep(delay).await;
        }
        self.sign(&mut response, connection);
        Reply::refused(response, permit)
    }
}

/// The handler of an endpoint.
pub(super) fn handle_boxed<E: Endpoint>(
    service: Arc<ApiState>,
    connection: Arc<ConnectionContext>,
    path: Path,
    request: Request<Incoming>,
) -> Answer {
    Box::pin(handle::<E>(service, connection, path, request))
}

async fn handle<E: Endpoint>(
    service: Arc<ApiState>,
    connection: Arc<ConnectionContext>,
    path: Path,
    request: Request<Incoming>,
) -> Reply {
    let begun = SystemClock.since_boot();
    let arrival = Arrival::new(&service);
    let trace = match &service.telemetry {
        Some(telemetry) => telemetry.request(E::NAME, request.headers()),
        None => Trace::default(),
    };
    let pipeline = Pipeline {
        service,
        connection,
        arrival,
        trace,
    };
    let limit = pipeline.service.request_timeout;
    let mut permit = pipeline.connection.account().request();
    let result = {
        // Pinned where it is made and only lent, so that nothing of its size is moved or kept twice.
        let work = pin!(pipeline.work::<E>(&mut permit, path, request));
        let result = pipeline.connection.time_limit.within(limit, work).await;
        result.unwrap_or_else(|TimedOut| {
            let why = "the request took too long";
            Err(Problem::new(Code::Overloaded, why))
        })
    };
    let code = result
        .as_ref()
        .map_or_else(|problem| problem.code.name(), |_| "ok");
    let took = SystemClock.since_boot().saturating_sub(begun);
    let Pipeline {
        service,
        connection,
        trace,
        ..
    } = pipeline;
    service.metrics.answered(E::NAME, code, took);
    match result {
        Ok(outcome) => {
            let items = outcome.items();
            let mut response = answer(outcome);
            trace.answered(response.status(), code, items);
            arrival.sign(&mut response, &connection);
            Reply::answered(response, permit)
        }
        Err(problem) => {
            let response = problem.response();
            trace.answered(response.status(), code, 0);
            arrival.refuse(&connection, permit, response).await
        }
    }
}

/// A task that panics is a fault of ours, and no answer.
async fn ended(
    task: JoinHandle<Result<(Outcome, RequestPermit), Problem>>,
) -> Result<(Outcome, RequestPermit), Problem> {
    task.await
        .unwrap_or_else(|_| Err(Problem::new(Code::Overloaded, "the request failed")))
}

fn answer(outcome: Outcome) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let mut response = response(outcome.status, kind, outcome.body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let location = outcome
        .location
        .and_then(|it| HeaderValue::from_str(&it).ok());
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// One request on its way.
#[derive(Clone)]
struct Pipeline {
    service: Arc<ApiState>,
    connection: Arc<ConnectionContext>,
    arrival: Arrival,
    trace: Trace,
}

impl Pipeline {
    /// What runs to completion goes on in a task of its own, with all that it holds, when its client
    /// hangs up; it begins when everything of its request is there.
    async fn work<E: Endpoint>(
        &self,
        permit: &mut RequestPermit,
        path: Path,
        request: Request<Incoming>,
    ) -> Result<Outcome, Problem> {
        let call = self.receive::<E>(permit, path, request).await?;
        if !permit.admit() {
            let why = "too many requests are under way";
            return Err(Problem::new(Code::Overloaded, why));
        }
        if !E::RUNS_TO_COMPLETION {
            return self.run::<E>(&call).await;
        }
        let held = std::mem::replace(permit, self.connection.account().request());
        let pipeline = self.clone();
        let task = tokio::spawn(async move { Ok((pipeline.run::<E>(&call).await?, held)) });
        let (outcome, held) = ended(task).await?;
        *permit = held;
        Ok(outcome)
    }

    /// Who asks for what, and whether he may; then all of it.
    async fn receive<E: Endpoint>(
        &self,
        permit: &mut RequestPermit,
        path: Path,
        request: Request<Incoming>,
    ) -> Result<Call, Problem> {
        let (parts, mut incoming) = request.into_parts();
        let keyspace = path.keyspace;
        let (client, authorized) = {
            // Both under the same rules.
            let rules = self.service.gate.rules();
            let client = self.identify(&rules)?;
            let authorized = self.authorize::<E>(&rules, &client, &parts.headers, &keyspace);
            (client, authorized)
        };
        let connection = &self.connection.connection;
        let admitted = match authorized
            .and_then(|()| body::check_headers(parts.version, &parts.headers, E::BODY))
        {
            Ok(()) if E::BODY => body::read(&mut incoming, permit, connection).await,
            admitted => admitted.map(|()| Bytes::new()),
        };
        let body = match admitted {
            Ok(body) => body,
            Err(problem) => {
                body::discard(&parts.headers, &mut incoming, connection).await;
                let named = keyspace.as_ref().ok().and_then(Option::as_ref);
                let refused = Err(problem);
                self.record::<E>(&client, named, &refused).await?;
                return Err(refused.err().unwrap_or_else(|| Problem::invalid("refused")));
            }
        };
        Ok(Call {
            service: Arc::clone(&self.service),
            client,
            key: self.connection.session.key(),
            now: self.arrival.now,
            reading: self.service.clock.reading(),
            keyspace: keyspace?,
            body,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            parameters: path.parameters,
            respond_async: prefers_async(&parts.headers),
            trace: self.trace.clone(),
        })
    }

    /// Once, but for a shred that came in between.
    async fn run<E: Endpoint>(&self, call: &Call) -> Result<Outcome, Problem> {
        loop {
            let outcome = match self.check_lease() {
                Ok(()) => E::run(call).await,
                Err(problem) => Err(problem),
            };
            self.record::<E>(&call.client, call.keyspace.as_ref(), &outcome)
                .await?;
            if let Some(outcome) = self.recheck::<E>(outcome?).await? {
                E::released(call, &outcome);
                return Ok(outcome);
            }
        }
    }

    fn authorize<E: Endpoint>(
        &self,
        rules: &Rules,
        client: &SpiffeId,
        headers: &HeaderMap,
        keyspace: &Result<Option<KeyspaceName>, Problem>,
    ) -> Result<(), Problem> {
        let grant = rules.access().grant(client);
        if grant.is_some() != self.connection.account().client().is_some() {
            let admission = &self.service.admission;
            self.connection
                .change_account(admission, client, rules.access());
        }
        authorize::<E>(grant, headers, keyspace)
    }

    /// A client is the SPIFFE id of its certificate, for as long as that is taken.
    fn identify(&self, rules: &Rules) -> Result<SpiffeId, Problem> {
        let session = &self.connection.session;
        let client = session.client(rules, HandshakeClock.now()).cloned();
        client.map_err(|nobody| Problem::new(Code::Forbidden, nobody.to_string()))
    }

    /// A refusal is recorded too, but need not wait: no key leaves. Of very many refusals of one client,
    /// or of all strangers, only the number is.
    async fn record<E: Endpoint>(
        &self,
        client: &SpiffeId,
        keyspace: Option<&KeyspaceName>,
        result: &Result<Outcome, Problem>,
    ) -> Result<(), Problem> {
        let outcome = result.as_ref().ok();
        let client = match outcome {
            Some(_) => Cow::Borrowed(client.as_str()),
            None => match self.refused_client(client) {
                Some(client) => client,
                None => return Ok(()),
            },
        };
        let record = Record::new(&Event {
            time: self.arrival.now,
            request: self.arrival.id.as_str(),
            client: &client,
            operation: E::NAME,
            keyspace,
            outcome: result
                .as_ref()
                .map_or_else(|problem| problem.code.name(), |outcome| outcome.recorded_as),
            keys: outcome.map_or(&[], |outcome| &outcome.keys),
            refused: outcome.map_or(0, |outcome| outcome.refused),
            requests: outcome.map_or(&[], |outcome| &outcome.requests),
            reason: outcome.and_then(|outcome| outcome.reason.as_deref()),
        });
        let part = self.trace.part("audit record");
        let begun = SystemClock.since_boot();
        let appended = self.service.audit.append(record).await;
        drop(part);
        let took: Duration = SystemClock.since_boot().saturating_sub(begun);
        self.service.metrics.recorded(took);
        match appended {
            Err(error) if outcome.is_some_and(|outcome| !outcome.requests.is_empty()) => {
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

    /// A refused client for its record; none when the refusal was only counted.
    fn refused_client<'a>(&self, client: &'a SpiffeId) -> Option<Cow<'a, str>> {
        let account = self.connection.account();
        if !account.may_record_refusal() {
            account.count_unrecorded(1);
            return None;
        }
        Some(match account.client() {
            Some(_) => Cow::Borrowed(client.as_str()),
            None => records::short(client),
        })
    }

    /// The record took its time: what expired or was shredded meanwhile does not leave any more.
    /// None: the call has to be run again.
    async fn recheck<E: Endpoint>(&self, outcome: Outcome) -> Result<Option<Outcome>, Problem> {
        let refusals = &self.service.key_state.refusals;
        let refused = |leaf: &LeafId| {
            let targets = [
                Target::Leaf(*leaf),
                Target::Tree(leaf.tree),
                Target::Keyspace(leaf.tree.keyspace),
            ];
            targets.iter().any(|target| refusals.get(*target).is_some())
        };
        if outcome.refusals != refusals.changes() && outcome.leaves.iter().any(refused) {
            return Ok(None);
        }
        if let Some(expiry) = outcome.earliest_expiry() {
            let judged = self.service.clock.judge(expiry);
            if judged == Judgement::Expired {
                Box::pin(self.service.mark.reach(expiry.instant())).await?;
            }
            Problem::of_expiry(judged)?;
        }
        if !outcome.keys.is_empty() {
            self.check_lease()?;
            self.service.metrics.keys_left(E::NAME, outcome.keys.len());
        }
        Ok(Some(outcome))
    }
}

fn authorize<E: Endpoint>(
    grant: Option<&Grant>,
    headers: &HeaderMap,
    keyspace: &Result<Option<KeyspaceName>, Problem>,
) -> Result<(), Problem> {
    let forbidden = |why| Problem::new(Code::Forbidden, why);
    let grant = grant.ok_or_else(|| forbidden("this client is not known"))?;
    if is_of_a_page(headers) {
        return Err(forbidden("a request of a web page is not taken"));
    }
    if !E::ROLES.contains(&grant.role) {
        return Err(forbidden("this role may not do that"));
    }
    if E::WHOLE_DEPLOYMENT && !grant.allows_all() {
        let why = "this concerns the whole deployment: a grant of all keyspaces (*) is needed";
        return Err(forbidden(why));
    }
    match keyspace {
        Ok(Some(keyspace)) if !grant.allows(keyspace) => {
            Err(forbidden("this keyspace is not granted"))
        }
        Ok(_) => Ok(()),
        Err(problem) => Err(problem.clone()),
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
