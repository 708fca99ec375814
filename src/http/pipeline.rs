//! The pipeline of every request: identify, authorize, read, run, record, recheck, answer. No endpoint can be
//! reached without it, and no key is sent before its record is durable (`docs/design.md#p4`).

use std::pin::pin;
use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::HeaderMap;
use lethe_core::clock::Judgement;
use lethe_core::ports::Clock;
use lethe_core::refusals::Target;
use lethe_core::time::Timestamp;
use lethe_core::tree::LeafId;
use tokio::task::JoinHandle;

use super::authorize::{authorize, identify};
use super::body;
use super::call::{Call, Endpoint, Outcome};
use super::path::Path;
use super::problem::{Code, Problem};
use super::record::record;
use super::request::RequestContext;
use super::state::ApiState;
use super::time_limit::TimedOut;
use crate::admission::RequestPermit;
use crate::identity::SpiffeId;
use crate::limits::Kind;
use crate::node::clock::SystemClock;
use crate::observability::telemetry::Trace;

/// The handler of an endpoint: the pipeline with its trace, its timeout and its metrics.
pub(super) async fn handle<E: Endpoint>(
    State(service): State<Arc<ApiState>>,
    Extension(context): Extension<Arc<RequestContext>>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let begun = SystemClock.since_boot();
    let trace = match &service.telemetry {
        Some(telemetry) => telemetry.request(E::NAME, request.headers()),
        None => Trace::default(),
    };
    let pipeline = Pipeline {
        service,
        context,
        trace,
    };
    let limit = pipeline.service.request_timeout;
    let result = {
        // Pinned where it is made and only lent, so that nothing of its size is moved or kept twice.
        let work = pin!(pipeline.run::<E>(Path::new(parameters), request));
        let time_limit = &pipeline.context.connection.time_limit;
        let result = time_limit.within(limit, work).await;
        result.unwrap_or_else(|TimedOut| Err(pipeline.timed_out()))
    };
    let (code, items) = match &result {
        Ok(outcome) => ("ok", outcome.items()),
        Err(problem) => (problem.code.name(), 0),
    };
    let took = SystemClock.since_boot().saturating_sub(begun);
    pipeline.service.metrics.answered(E::NAME, code, took);
    let response = result.into_response();
    pipeline.trace.answered(response.status(), code, items);
    response
}

/// One request in the pipeline.
#[derive(Clone)]
pub(super) struct Pipeline {
    pub(super) service: Arc<ApiState>,
    pub(super) context: Arc<RequestContext>,
    pub(super) trace: Trace,
}

impl Pipeline {
    /// An endpoint that runs to completion gets a task of its own once its whole request was read. The task
    /// and what it holds stay when the client closes the connection.
    async fn run<E: Endpoint>(&self, path: Path, request: Request) -> Result<Outcome, Problem> {
        let call = self.receive::<E>(path, request).await?;
        let permit = &self.context.permit;
        if !permit.lock().admit() {
            let problem = Problem::new(Code::Overloaded, "too many requests are under way");
            record::<E>(self, &call.client, call.keyspace.as_ref(), Err(&problem)).await?;
            return Err(problem);
        }
        if !E::RUNS_TO_COMPLETION {
            return self.execute::<E>(&call).await;
        }
        let held = self.context.take_permit();
        self.context.moves_to_own_task();
        let pipeline = self.clone();
        let task = tokio::spawn(async move { Ok((pipeline.execute::<E>(&call).await?, held)) });
        let (outcome, held) = ended(task).await?;
        *permit.lock() = held;
        Ok(outcome)
    }

    /// Identifies and authorizes the client, then reads the rest of its request.
    async fn receive<E: Endpoint>(&self, path: Path, request: Request) -> Result<Call, Problem> {
        let (parts, mut incoming) = request.into_parts();
        let (context, service) = (&self.context, &self.service);
        let client_connection = &context.connection;
        let keyspace = path.keyspace;
        let identified = {
            // Both under the same rules.
            let rules = service.gate.rules();
            identify(client_connection, &rules).map(|client| {
                let headers = &parts.headers;
                let authorized = authorize::<E>(
                    service,
                    client_connection,
                    &rules,
                    &client,
                    headers,
                    &keyspace,
                );
                (client, authorized)
            })
        };
        let (client, authorized) = match identified {
            Ok(identified) => identified,
            // A record names its client.
            Err(problem) => {
                context.count_unrecorded();
                body::discard(&parts.headers, &mut incoming, context).await;
                return Err(problem);
            }
        };
        let connection = &client_connection.connection;
        let admitted = match authorized
            .and_then(|()| take_call::<E>(service, &client, context.now))
            .and_then(|()| body::check_headers(parts.version, &parts.headers, E::BODY))
        {
            Ok(()) if E::BODY => {
                let read = body::read(&mut incoming, &context.permit, connection).await;
                read.inspect(|_| context.body_ended())
            }
            // Its bytes are accounted for all the same: what no request accounts for is read slowly.
            Ok(()) => {
                body::discard(&parts.headers, &mut incoming, context).await;
                Ok(Bytes::new())
            }
            Err(problem) => Err(problem),
        };
        let body = match admitted {
            Ok(body) => body,
            Err(problem) => {
                body::discard(&parts.headers, &mut incoming, context).await;
                let named = keyspace.as_ref().ok().and_then(Option::as_ref);
                record::<E>(self, &client, named, Err(&problem)).await?;
                return Err(problem);
            }
        };
        Ok(Call {
            service: Arc::clone(service),
            client,
            key: client_connection.session.key(),
            now: context.now,
            reading: service.node.clock.reading(),
            keyspace: keyspace?,
            body,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            parameters: path.parameters,
            respond_async: prefers_async(&parts.headers),
            trace: self.trace.clone(),
        })
    }

    /// The answer when the request's time is over. What runs in a task of its own goes on, and writes its record.
    fn timed_out(&self) -> Problem {
        if self.context.is_in_own_task() {
            let why = "the request took too long; it goes on, and what becomes of it is on record";
            return Problem::new(Code::Overloaded, why);
        }
        self.context.count_unrecorded();
        Problem::new(Code::Overloaded, "the request took too long")
    }

    /// Runs the endpoint and records the outcome. It runs again only when a shred of one of its keys was
    /// accepted meanwhile.
    async fn execute<E: Endpoint>(&self, call: &Call) -> Result<Outcome, Problem> {
        loop {
            let result = match self.check_lease() {
                Ok(()) => E::run(call).await,
                Err(problem) => Err(problem),
            };
            record::<E>(self, &call.client, call.keyspace.as_ref(), result.as_ref()).await?;
            if let Some(outcome) = self.recheck::<E>(result?).await? {
                E::released(call, &outcome);
                return Ok(outcome);
            }
        }
    }

    /// Refuses when this process may have been taken for dead: another one may serve a copy of the store.
    fn check_lease(&self) -> Result<(), Problem> {
        if self.service.node.has_lease() {
            return Ok(());
        }
        let why = "another copy of the store may be served meanwhile";
        Err(Problem::new(Code::LeaseLost, why))
    }

    /// Checks the keys again after the record was written: a key that expired meanwhile is refused. `None`
    /// when a key was shredded meanwhile, and the call has to run again.
    async fn recheck<E: Endpoint>(&self, outcome: Outcome) -> Result<Option<Outcome>, Problem> {
        let refusals = &self.service.node.key_state.refusals;
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
            let judged = self.service.node.clock.judge(expiry);
            if judged == Judgement::Expired {
                Box::pin(self.service.node.mark.reach(expiry.instant())).await?;
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

/// Takes a call off the quota of its client, before anything of it is read. Each that succeeds is on record, so
/// without a bound a client could fill the disk of the audit log.
fn take_call<E: Endpoint>(
    service: &ApiState,
    client: &SpiffeId,
    now: Timestamp,
) -> Result<(), Problem> {
    if !E::COUNTS_ITEMS {
        service.limits.take(client, Kind::Call, 1, now)?;
    }
    Ok(())
}

/// Waits for the task of an endpoint. A task that panics is an error of the service, and has no outcome.
async fn ended(
    task: JoinHandle<Result<(Outcome, RequestPermit), Problem>>,
) -> Result<(Outcome, RequestPermit), Problem> {
    task.await
        .unwrap_or_else(|_| Err(Problem::new(Code::Overloaded, "the request failed")))
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
