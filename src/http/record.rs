//! The audit record of a request.

use std::borrow::Cow;

use lethe_core::audit::{Event, Record};
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::Clock;

use super::call::{Endpoint, Outcome};
use super::pipeline::Pipeline;
use super::problem::{Code, Problem};
use crate::admission::{Account, records};
use crate::identity::SpiffeId;
use crate::node::clock::SystemClock;

/// Writes the record of a result, and waits until it is durable. Refusals are recorded too. Of very many
/// refusals of one client, or of all strangers, only the number is recorded.
pub(super) async fn record<E: Endpoint>(
    pipeline: &Pipeline,
    client: &SpiffeId,
    keyspace: Option<&KeyspaceName>,
    result: Result<&Outcome, &Problem>,
) -> Result<(), Problem> {
    let (context, service) = (&pipeline.context, &pipeline.service);
    let outcome = result.ok();
    let client = match outcome {
        Some(_) => Cow::Borrowed(client.as_str()),
        None => match refused_client(&context.connection.account(), client) {
            Some(client) => client,
            None => return Ok(()),
        },
    };
    let record = Record::new(&Event {
        time: context.now,
        request: context.id.as_str(),
        client: &client,
        operation: E::NAME,
        keyspace,
        outcome: result.map_or_else(|problem| problem.code.name(), |it| it.recorded_as),
        keys: outcome.map_or(&[], |outcome| &outcome.keys),
        refused: outcome.map_or(0, |outcome| outcome.refused),
        requests: outcome.map_or(&[], |outcome| &outcome.requests),
        reason: outcome.and_then(|outcome| outcome.reason.as_deref()),
    });
    let part = pipeline.trace.part("audit record");
    let begun = SystemClock.since_boot();
    let appended = service.audit.append(record).await;
    drop(part);
    let took = SystemClock.since_boot().saturating_sub(begun);
    service.metrics.recorded(took);
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

/// The client in the record of a refusal. `None` when the refusal was only counted.
fn refused_client<'a>(account: &Account, client: &'a SpiffeId) -> Option<Cow<'a, str>> {
    if !account.may_record_refusal() {
        account.count_unrecorded(1);
        return None;
    }
    Some(match account.client() {
        Some(_) => Cow::Borrowed(client.as_str()),
        None => records::short(client),
    })
}
