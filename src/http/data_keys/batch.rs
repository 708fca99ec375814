use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use lethe_core::audit::KeyEvent;
use lethe_core::keyring::{KeyError, Keyring, LiveKeyspace};
use lethe_core::time::Expiry;
use lethe_core::tree::{LeafId, PageReference, TreeId};
use serde::{Deserialize, Serialize};

use crate::http::call::{Call, Outcome};
use crate::http::json::Items;
use crate::http::problem::Problem;
use crate::limits::Kind;

/// Number of items after which the task yields to others.
const STRIDE: usize = 32;
/// Wait before an item is tried again while a shred is being accepted. Accepting takes one write to the
/// disk.
const PENDING: Duration = Duration::from_millis(1);

#[derive(Serialize)]
struct Refusal<'a> {
    error: Reason<'a>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'static str,
    detail: &'a str,
}

/// An item of a call about data keys.
pub(super) trait Item {
    /// The quota that counts it.
    const KIND: Kind;

    /// Name of the conversation.
    fn conversation(&self) -> &str;
}

/// A key in the answer.
pub(super) struct IssuedKey {
    /// The entry of the key in the audit record.
    pub(super) event: KeyEvent,
    /// The one or two leaves of the tree that it was computed from. They must still live when it is sent.
    pub(super) leaves: [LeafId; 2],
}

/// Why an item has no answer yet.
pub(super) enum ItemError {
    /// The item is refused.
    Refused(Problem),
    /// A page of the tree is not in memory. Load it and try again.
    Missing(Box<PageReference>),
    /// A shred that may concern it is being accepted. Try again.
    Pending,
    /// The key expired at this time.
    Expired(Expiry),
}

impl From<Problem> for ItemError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<KeyError> for ItemError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Missing(page) => Self::Missing(page),
            KeyError::Pending => Self::Pending,
            KeyError::Expired(expiry) => Self::Expired(expiry),
            error => Self::Refused(error.into()),
        }
    }
}

/// One state of the keyring, with the keyspace of the call.
pub(super) struct Snapshot<'a> {
    pub(super) keyring: &'a Keyring,
    pub(super) keyspace: &'a LiveKeyspace,
}

/// Runs one item or a batch. `run` writes the answer of an item into the buffer and returns its key. The
/// buffer has its full size from the start: growing it would leave copies of keys behind.
pub(super) async fn run<'a, T: Deserialize<'a> + Item>(
    call: &'a Call,
    one: StatusCode,
    bytes_each: usize,
    run: impl Fn(&T, &Snapshot<'_>, &mut Vec<u8>) -> Result<IssuedKey, ItemError>,
) -> Result<Outcome, Problem> {
    let refusals = call.service.node.key_state.refusals.changes();
    let mut keyring = call.service.node.key_state.keyring();
    keyring.keyspace(call.keyspace()?)?;
    let items = match Items::parse(&call.body)? {
        Items::One(item) => {
            take(call, &keyring, std::iter::once(&item), 1)?;
            let mut outcome = Outcome::new(one, Vec::with_capacity(bytes_each));
            outcome.refusals = refusals;
            run_item(call, &mut keyring, &item, &mut outcome, &run).await?;
            return Ok(outcome);
        }
        Items::Many(items) => items,
    };
    take(call, &keyring, items.iter().flatten(), items.len())?;
    let room = 32 + items.len() * bytes_each;
    let mut outcome = Outcome::new(StatusCode::OK, Vec::with_capacity(room));
    outcome.refusals = refusals;
    outcome.keys.reserve(items.len());
    outcome.body.extend_from_slice(br#"{"items":["#);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            outcome.body.push(b',');
        }
        if index % STRIDE == STRIDE - 1 {
            tokio::task::yield_now().await;
        }
        let answered = match item {
            Ok(item) => run_item(call, &mut keyring, &item, &mut outcome, &run).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = answered {
            refuse(&mut outcome, &problem)?;
        }
    }
    outcome.body.extend_from_slice(b"]}");
    Ok(outcome)
}

/// The key versions of the keys in the answer, each with the number of its keys that stand side by side.
pub(super) fn versions(outcome: &Outcome) -> impl Iterator<Item = (TreeId, u64)> {
    let runs = outcome.leaves.chunk_by(|one, next| one.tree == next.tree);
    runs.filter_map(|run| Some((run.first()?.tree, run.len() as u64)))
}

/// Takes the items off the quota of the caller, before anything is computed for them.
fn take<'i, T: Item + 'i>(
    call: &Call,
    keyring: &Keyring,
    items: impl Iterator<Item = &'i T>,
    count: usize,
) -> Result<(), Problem> {
    call.take(T::KIND, count)?;
    let limits = &call.service.limits;
    if T::KIND == Kind::Unwrap && limits.counts_conversations() {
        let keyspace = keyring.keyspace(call.keyspace()?)?.id;
        let conversations = items.map(Item::conversation);
        limits.unwrap(&call.client, keyspace, conversations, call.now)?;
    }
    Ok(())
}

/// Tries one item until it has an answer. The timeout of the request bounds the loop.
async fn run_item<T>(
    call: &Call,
    keyring: &mut Arc<Keyring>,
    item: &T,
    outcome: &mut Outcome,
    run: &impl Fn(&T, &Snapshot<'_>, &mut Vec<u8>) -> Result<IssuedKey, ItemError>,
) -> Result<(), Problem> {
    loop {
        let begun = outcome.body.len();
        let snapshot = Snapshot {
            keyring,
            keyspace: keyring.keyspace(call.keyspace()?)?,
        };
        let error = match run(item, &snapshot, &mut outcome.body) {
            Ok(key) => {
                outcome.keys.push(key.event);
                let [first, second] = key.leaves;
                outcome.leaves.push(first);
                if second != first {
                    outcome.leaves.push(second);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        outcome.body.truncate(begun);
        let sequence = keyring.sequence;
        let live = &call.service.node.key_state;
        match error {
            ItemError::Refused(problem) => return Err(problem),
            ItemError::Expired(expiry) => {
                // Boxed as below. The mark keeps the key refused, whatever the clock says later.
                Box::pin(call.service.node.mark.reach(expiry.instant())).await?;
                return Err(KeyError::Expired(expiry).into());
            }
            // The old keyring is released before the wait.
            ItemError::Missing(page) => {
                *keyring = live.keyring();
                // Boxed: it is rare, and without a box the future of every request would be larger.
                Box::pin(live.load(call.service.node.deployment, &page, sequence)).await?;
            }
            ItemError::Pending => tokio::time::sleep(PENDING).await,
        }
        *keyring = live.keyring();
    }
}

fn refuse(outcome: &mut Outcome, problem: &Problem) -> Result<(), Problem> {
    outcome.refused += 1;
    let error = Reason {
        code: problem.code.name(),
        detail: &problem.detail,
    };
    serde_json::to_writer(&mut outcome.body, &Refusal { error }).map_err(Problem::invalid)
}
