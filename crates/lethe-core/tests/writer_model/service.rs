//! What the service does, and what it checks before.

use super::state::{Batch, Phase, ROWS, Request, Row, State, Who};
use super::{Deployment, Mistake};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The next conversation that somebody wants forgotten.
    Accept,
    /// Punctures all that is open, and commits.
    Commit,
    Sign,
    /// An operator refuses the oldest version.
    RaiseMinimum,
    Crash,
    Start,
    /// Destroys what has expired, and signs.
    Reap,
}

impl Step {
    pub(crate) const ALL: [Self; 7] = [
        Self::Accept,
        Self::Commit,
        Self::Sign,
        Self::RaiseMinimum,
        Self::Crash,
        Self::Start,
        Self::Reap,
    ];

    /// None where it is not possible.
    pub(crate) fn take(self, service: Deployment, state: &mut State) -> Option<()> {
        let running = state.phase == Phase::Running;
        match self {
            Self::Start => (state.phase == Phase::Stopped).then(|| start(service, state)),
            _ if !running => None,
            Self::Accept => accept(state),
            Self::Commit => commit(service, state),
            Self::Sign => sign(service, state),
            Self::RaiseMinimum => (state.minimum == 0 && state.unsigned.is_none()).then(|| {
                state.minimum = 1;
                state.directory.minimum = 1;
                state.directory.sequence += 1;
                state.directory.batch = None;
            }),
            Self::Crash => {
                state.phase = Phase::Stopped;
                state.crashed = true;
                Some(())
            }
            Self::Reap => reap(service, state),
        }
    }
}

fn accept(state: &mut State) -> Option<()> {
    let leaf = *[Who::First, Who::Second].get(state.accepted.len())?;
    let request = Request { of: leaf, leaf };
    state.accepted.push(leaf);
    // Numbers go on, whatever rows are there.
    let number = state.accepted.len() as u8;
    let row = Row {
        request,
        mac: Some((number, request)),
    };
    state.requests[usize::from(number - 1)] = Some(row);
    state.archive.insert((number, row));
    Some(())
}

/// The rows from `first` on, each with its number; none where one is not as it was written.
fn checked(service: Deployment, state: &State, first: u8, last: u8) -> Option<Vec<(u8, Request)>> {
    let mut found = Vec::new();
    for number in first..=last {
        let Some(row) = state.requests[usize::from(number - 1)] else {
            continue;
        };
        let authentic = row.mac.is_some_and(|(of, request)| {
            request == row.request && (of == number || service.makes(Mistake::MacWithoutNumber))
        });
        if !authentic && !service.makes(Mistake::RequestWithoutMac) {
            return None;
        }
        found.push((number, row.request));
    }
    let gapless = (first..).zip(&found).all(|(number, row)| row.0 == number);
    (gapless || service.makes(Mistake::GapsPass)).then_some(found)
}

/// Halts unless everything that the start relies on is as it was written.
fn start(service: Deployment, state: &mut State) {
    let open = checked(service, state, state.directory.fulfilled + 1, ROWS as u8);
    let unsigned = state.unsigned.is_none_or(|batch| {
        let ours = batch.sequence == state.directory.sequence;
        let committed = state.directory.batch == Some(batch);
        let rows = checked(service, state, batch.first, batch.last);
        (ours || service.makes(Mistake::AnyUnsignedBatch))
            && (committed
                || service.makes(Mistake::BatchNotCommitted)
                || !ours && service.makes(Mistake::AnyUnsignedBatch))
            && rows.is_some_and(|rows| rows.len() as u8 == batch.last - batch.first + 1)
    });
    let bucket = state.bucket != Some(false) || service.makes(Mistake::BucketWithoutMac);
    let keyspaces =
        state.minimum == state.directory.minimum || service.makes(Mistake::KeyspacesNotCommitted);
    state.phase = if open.is_some() && unsigned && bucket && keyspaces {
        Phase::Running
    } else {
        Phase::Halted
    };
}

fn commit(service: Deployment, state: &mut State) -> Option<()> {
    if state.unsigned.is_some() {
        return None;
    }
    let first = state.directory.fulfilled + 1;
    let Some(open) = checked(service, state, first, ROWS as u8) else {
        state.phase = Phase::Halted;
        return Some(());
    };
    let (first, last) = (open.first()?.0, open.last()?.0);
    state
        .forgotten
        .extend(open.iter().map(|(_, request)| request.leaf));
    let sequence = state.directory.sequence + 1;
    let batch = Batch {
        sequence,
        first,
        last,
    };
    state.directory.sequence = sequence;
    state.directory.fulfilled = last;
    state.directory.batch = Some(batch);
    state.unsigned = Some(batch);
    Some(())
}

fn sign(service: Deployment, state: &mut State) -> Option<()> {
    let batch = state.unsigned.take()?;
    let rows = checked(service, state, batch.first, batch.last)?;
    state
        .receipts
        .extend(rows.iter().map(|(_, request)| request.of));
    Some(())
}

/// The one bucket of this world never had a key: its row is made up.
fn reap(service: Deployment, state: &mut State) -> Option<()> {
    let authentic = state.bucket.take()?;
    state.false_expiry |= !authentic && service.makes(Mistake::BucketWithoutMac);
    Some(())
}
