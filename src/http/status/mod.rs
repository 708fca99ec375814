//! `GET /v1/status`. It reads memory only, so it answers at once even when the HSM or the store does not.

mod keyspace;
mod parts;

use hyper::StatusCode;
use lethe_core::clock::Doubt;
use lethe_core::time::{Expiry, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::{Call, Endpoint, Outcome};
use super::openapi::Description;
use super::problem::Problem;
use super::times::Rfc3339;
use crate::identity::Role;
use crate::node::status::Condition;
pub(super) use keyspace::{BucketsStatus, ClientUses, KeyVersionStatus, KeyspaceStatus};
pub(super) use parts::{HsmDeviceStatus, NodeStatus};

/// `GET /v1/status`: shows what an attacker would find who seized the service now.
pub(crate) struct Status;

/// What an attacker would find who seized the service now.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusAnswer {
    /// The service's time.
    #[schema(value_type = String, format = DateTime)]
    now: Rfc3339,
    /// The number of live buckets, including those that were made ahead.
    live_buckets: usize,
    /// When the next live bucket expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_expiry: Option<Rfc3339>,
    /// When the last live bucket expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_expiry: Option<Rfc3339>,
    /// The number of buckets that have expired and are not destroyed yet. Their keys are refused, but an attacker
    /// would find them.
    overdue_buckets: usize,
    /// How long the bucket that expired first has not been destroyed; 0 if there is none.
    expiry_lag_seconds: u64,
    /// The number of erasures that are accepted and not done yet.
    open_requests: usize,
    /// When the oldest open erasure was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_open_request: Option<Rfc3339>,
    /// How long the oldest open erasure has waited; 0 if there is none.
    oldest_open_request_seconds: u64,
    /// `ok`, or what is wrong.
    hsm: String,
    /// The last status of the HSM.
    hsm_device: HsmDeviceStatus,
    /// `ok`, or what is wrong.
    store: String,
    /// `ok`, or what is wrong.
    audit: String,
    /// `ok`, or what is wrong.
    clock: String,
    /// `trusted`, or why the clock is doubted: `ahead`, `behind`, `rebooted`.
    clock_state: &'static str,
    /// The number of approvals that wait for a second operator.
    waiting_approvals: u64,
    /// The nodes that serve this deployment.
    nodes: Vec<NodeStatus>,
    /// The keyspaces that the client may see, by name.
    keyspaces: Vec<KeyspaceStatus>,
}

impl Endpoint for Status {
    const NAME: &'static str = "status";
    const ROLES: &'static [Role] = &[Role::Operator, Role::Auditor];
    const BODY: bool = false;

    fn describe() -> Description {
        Description::new(Self::NAME, "looking", "What a seizure now would find")
            .answers(200, "Status")
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        Outcome::json(StatusCode::OK, &answer(call))
    }
}

fn answer(call: &Call) -> StatusAnswer {
    let (service, now) = (&call.service, call.now);
    let keyring = service.node.key_state.keyring();
    let condition = service.node.condition.lock().clone();
    let overdue = overdue(&condition, now);
    let backlog = service.pending_erasures.backlog();
    let doubt = service.node.clock.doubt().or(call.reading.doubt);
    let live = || {
        let buckets = keyring.buckets.keys().copied();
        buckets.filter(|expiry| !expiry.has_passed(now))
    };
    let time = |expiry: Expiry| Rfc3339(expiry.instant());
    let mut keyspaces: Vec<_> = keyring
        .keyspaces
        .values()
        .filter(|keyspace| call.grants(&keyspace.name))
        .map(|keyspace| KeyspaceStatus::new(keyspace, &keyring, &overdue, call))
        .collect();
    keyspaces.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    StatusAnswer {
        now: Rfc3339(now),
        live_buckets: live().count(),
        next_expiry: live().min().map(time),
        last_expiry: live().max().map(time),
        overdue_buckets: overdue.len(),
        expiry_lag_seconds: overdue
            .iter()
            .min()
            .map_or(0, |it| since(it.instant(), now)),
        open_requests: backlog.erasures,
        oldest_open_request: backlog.oldest.map(Rfc3339),
        oldest_open_request_seconds: backlog.oldest.map_or(0, |oldest| since(oldest, now)),
        hsm_device: HsmDeviceStatus::new(&condition, service.max_objects),
        hsm: ok(condition.hsm().map(str::to_owned)),
        store: ok(condition.store),
        audit: ok(service.audit.check().err().map(|error| error.to_string())),
        clock: ok(service.node.clock_warning()),
        clock_state: doubt.map_or("trusted", Doubt::name),
        waiting_approvals: u64::try_from(service.metrics.waiting_approvals.get()).unwrap_or(0),
        nodes: vec![NodeStatus::this(service)],
        keyspaces,
    }
}

/// Expired buckets that the background work has not destroyed yet.
fn overdue(condition: &Condition, now: Timestamp) -> Vec<Expiry> {
    let overdue = condition.overdue.iter().copied();
    overdue.filter(|expiry| expiry.has_passed(now)).collect()
}

fn ok(reason: Option<String>) -> String {
    reason.unwrap_or_else(|| "ok".into())
}

/// Whole seconds from `earlier` to `later`, and 0 when `later` is not later.
fn since(earlier: Timestamp, later: Timestamp) -> u64 {
    later.as_millis().saturating_sub(earlier.as_millis()) / 1_000
}
