use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use lethe_core::audit::KeyEvent;
use lethe_core::keyring::{KeyError, Keyring, LiveKeyspace};
use lethe_core::time::Expiry;
use lethe_core::tree::{LeafId, PageReference, TreeId};
use serde::{Deserialize, Serialize};

use crate::http::body::Items;
use crate::http::call::{Call, Done};
use crate::http::problem::Problem;
use crate::limits::Kind;

/// Items between two chances for other tasks.
const STRIDE: usize = 32;
/// A shred is being accepted: that takes one write to the disk.
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
    /// What a quota counts it as.
    const KIND: Kind;

    /// The conversation that it names.
    fn conversation(&self) -> &str;
}

/// A key that leaves.
pub(super) struct Leaving {
    /// For the record.
    pub(super) event: KeyEvent,
    /// Its rows, one or two; they must still live then.
    pub(super) leaves: [LeafId; 2],
}

/// Why an item was not answered at once.
pub(super) enum Stop {
    /// It is refused.
    Refused(Problem),
    /// Load this, and try again.
    Missing(Box<PageReference>),
    /// Nobody can tell yet.
    Pending,
    /// It has expired then.
    Expired(Expiry),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<KeyError> for Stop {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Missing(page) => Self::Missing(page),
            KeyError::Pending => Self::Pending,
            KeyError::Expired(expiry) => Self::Expired(expiry),
            error => Self::Refused(error.into()),
        }
    }
}

/// One state of the world, and the keyspace of the call in it.
pub(super) struct Look<'a> {
    pub(super) keyring: &'a Keyring,
    pub(super) keyspace: &'a LiveKeyspace,
}

/// Runs one item or a batch. `run` writes its answer into the buffer, whose size is fixed ahead so
/// that no growing leaves copies of keys behind, and says which key leaves.
pub(super) async fn run<'a, T: Deserialize<'a> + Item>(
    call: &'a Call,
    one: StatusCode,
    bytes_each: usize,
    run: impl Fn(&T, &Look<'_>, &mut Vec<u8>) -> Result<Leaving, Stop>,
) -> Result<Done, Problem> {
    let refusals = call.service.live.refusals.changes();
    let mut keyring = call.service.live.keyring();
    keyring.keyspace(call.keyspace()?)?;
    let items = match Items::parse(&call.body)? {
        Items::One(item) => {
            take(call, &keyring, std::iter::once(&item), 1)?;
            let mut done = Done::new(one, Vec::with_capacity(bytes_each));
            done.refusals = refusals;
            settle(call, &mut keyring, &item, &mut done, &run).await?;
            return Ok(done);
        }
        Items::Many(items) => items,
    };
    take(call, &keyring, items.iter().flatten(), items.len())?;
    let room = 32 + items.len() * bytes_each;
    let mut done = Done::new(StatusCode::OK, Vec::with_capacity(room));
    done.refusals = refusals;
    done.keys.reserve(items.len());
    done.body.extend_from_slice(br#"{"items":["#);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            done.body.push(b',');
        }
        if index % STRIDE == STRIDE - 1 {
            tokio::task::yield_now().await;
        }
        let answered = match item {
            Ok(item) => settle(call, &mut keyring, &item, &mut done, &run).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = answered {
            refuse(&mut done, &problem)?;
        }
    }
    done.body.extend_from_slice(b"]}");
    Ok(done)
}

/// Runs of neighbours of one key version among the keys that leave, with their number.
pub(super) fn versions(done: &Done) -> impl Iterator<Item = (TreeId, u64)> {
    let runs = done.leaves.chunk_by(|one, next| one.tree == next.tree);
    runs.filter_map(|run| Some((run.first()?.tree, run.len() as u64)))
}

/// Takes the items off the caller's quota, before anything is computed for them.
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

/// Tries until there is an answer; the whole request's time limit ends it.
async fn settle<T>(
    call: &Call,
    keyring: &mut Arc<Keyring>,
    item: &T,
    done: &mut Done,
    run: &impl Fn(&T, &Look<'_>, &mut Vec<u8>) -> Result<Leaving, Stop>,
) -> Result<(), Problem> {
    loop {
        let begun = done.body.len();
        let look = Look {
            keyring,
            keyspace: keyring.keyspace(call.keyspace()?)?,
        };
        let stop = match run(item, &look, &mut done.body) {
            Ok(leaving) => {
                done.keys.push(leaving.event);
                let [first, second] = leaving.leaves;
                done.leaves.push(first);
                if second != first {
                    done.leaves.push(second);
                }
                return Ok(());
            }
            Err(stop) => stop,
        };
        done.body.truncate(begun);
        let sequence = keyring.sequence;
        let live = &call.service.live;
        match stop {
            Stop::Refused(problem) => return Err(problem),
            Stop::Expired(expiry) => {
                // Boxed as below. It stays refused, whatever the clock says later.
                Box::pin(call.service.mark.reach(expiry.instant())).await?;
                return Err(KeyError::Expired(expiry).into());
            }
            // Nothing old is held on to while waiting.
            Stop::Missing(page) => {
                *keyring = live.keyring();
                // Boxed: it is rare, and every request would keep room for it.
                Box::pin(live.load(call.service.deployment, &page, sequence)).await?;
            }
            Stop::Pending => tokio::time::sleep(PENDING).await,
        }
        *keyring = live.keyring();
    }
}

fn refuse(done: &mut Done, problem: &Problem) -> Result<(), Problem> {
    done.refused += 1;
    let error = Reason {
        code: problem.code.name(),
        detail: &problem.detail,
    };
    serde_json::to_writer(&mut done.body, &Refusal { error }).map_err(Problem::invalid)
}
