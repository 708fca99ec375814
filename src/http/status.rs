use axum::http::StatusCode;
use lethe_core::time::Expiry;
use serde::Serialize;

use super::call::{Call, Done, Operation};
use super::problem::Problem;
use super::times::Rfc3339;
use crate::access::Role;

/// `GET /v1/status`: what a seizure now would find.
pub(crate) struct Status;

#[derive(Serialize)]
struct StatusAnswer {
    now: Rfc3339,
    live_buckets: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_expiry: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_expiry: Option<Rfc3339>,
    overdue_buckets: usize,
    /// Requests to forget that are accepted and not done.
    open_requests: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_open_request: Option<Rfc3339>,
    hsm: String,
    store: String,
    audit: String,
    clock: String,
    keyspaces: Vec<KeyspaceStatus>,
}

#[derive(Serialize)]
struct KeyspaceStatus {
    name: String,
    versions: Vec<u32>,
    /// Messages sealed before this moment do not open any more, under the present settings.
    oldest_readable: Rfc3339,
}

impl Operation for Status {
    const NAME: &'static str = "status";
    const ROLES: &'static [Role] = &[Role::Operator, Role::Auditor];
    const BODY: bool = false;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let keyring = call.service.live.keyring();
        let condition = call.service.condition.lock().clone();
        let backlog = call.service.ledger.backlog();
        let ok = |reason: Option<String>| reason.unwrap_or_else(|| "ok".into());
        let live = || {
            keyring
                .buckets
                .keys()
                .filter(|expiry| !expiry.has_passed(call.now))
        };
        let time = |expiry: &Expiry| Rfc3339(expiry.instant());
        let mut keyspaces: Vec<_> = keyring
            .keyspaces
            .values()
            .filter(|keyspace| call.grants(&keyspace.name))
            .map(|keyspace| {
                let policy = &keyspace.policy;
                let longest = (policy.retention_seconds() + policy.granularity_seconds()) * 1_000;
                let oldest = call.now.as_millis().saturating_sub(longest);
                KeyspaceStatus {
                    name: keyspace.name.to_string(),
                    versions: keyspace
                        .versions
                        .iter()
                        .map(|it| it.tree.version.number())
                        .collect(),
                    oldest_readable: Rfc3339(lethe_core::time::Timestamp::from_millis(oldest)),
                }
            })
            .collect();
        keyspaces.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let answer = StatusAnswer {
            now: Rfc3339(call.now),
            live_buckets: live().count(),
            next_expiry: live().min().map(time),
            last_expiry: live().max().map(time),
            overdue_buckets: condition.overdue,
            open_requests: backlog.requests,
            oldest_open_request: backlog.oldest.map(Rfc3339),
            hsm: ok(condition.hsm),
            store: ok(condition.store),
            audit: ok(call
                .service
                .audit
                .check()
                .err()
                .map(|error| error.to_string())),
            clock: ok(call.service.clock_trouble()),
            keyspaces,
        };
        Done::json(StatusCode::OK, &answer)
    }
}
