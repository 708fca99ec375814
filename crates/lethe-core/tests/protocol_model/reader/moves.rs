//! What the reader does.

use super::{Lease, ReaderMove, Request, View};
use crate::archive::Archive;
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::names::{CopyName, Leaf};
use crate::state::{State, spend};
use crate::store::Meta;

impl Protocol {
    pub(crate) fn read(&self, state: &mut State, what: ReaderMove) -> Option<()> {
        match what {
            ReaderMove::AskForLease => ask_for_lease(state),
            ReaderMove::LeaseCounts => self.lease_counts(state),
            ReaderMove::LeaseLapses => lease_lapses(state),
            ReaderMove::Read => self.read_meta(state),
            ReaderMove::Insert => self.insert(state),
            ReaderMove::Acknowledge => acknowledge(state),
            ReaderMove::BeginUnwrap => begin(state, |_| Request::Unwrap),
            ReaderMove::BeginRewrap => begin(state, Request::Rewrap),
            ReaderMove::Answer => self.finish(state),
            ReaderMove::Load => self.read_meta(state).and_then(|()| self.insert(state)),
            ReaderMove::Serve => {
                begin(state, |_| Request::Unwrap).and_then(|()| self.finish(state))
            }
        }
    }

    /// Once it is flushed where a successor of the leader will look for it.
    fn lease_counts(&self, state: &mut State) -> Option<()> {
        let standby = state.store.copy(CopyName::Standby);
        let flushed = !self.scope.is_cluster() || standby.lease_listed;
        let counts = flushed || self.makes(Mutation::LeaseUnflushed);
        let reader = &mut state.reader;
        (counts && reader.lease == Lease::Asked).then_some(())?;
        reader.lease = Lease::Running;
        if !self.makes(Mutation::ReadBeforeLease) {
            // The lease first, meta after.
            (reader.cache, reader.loading) = (None, None);
        }
        Some(())
    }

    fn read_meta(&self, state: &mut State) -> Option<()> {
        let Meta { sequence, live, .. } = state.store.copy(CopyName::Primary).meta;
        let reader = &mut state.reader;
        let may = reader.lease == Lease::Running || self.makes(Mutation::ReadBeforeLease);
        let newer = reader.cache.is_none_or(|view| view.sequence < sequence);
        (may && newer && reader.loading.is_none()).then_some(())?;
        reader.loading = Some(View { sequence, live });
        Some(())
    }

    fn insert(&self, state: &mut State) -> Option<()> {
        let reader = &mut state.reader;
        let view = reader.loading.take()?;
        if view.sequence >= reader.floor || self.makes(Mutation::StaleInsert) {
            reader.cache = Some(view);
        }
        Some(())
    }

    /// Checks, and writes the answer.
    fn finish(&self, state: &mut State) -> Option<()> {
        let request = state.reader.request.take()?;
        if !self.may_answer(state, request) {
            return Some(());
        }
        match request {
            Request::Unwrap => {
                let late = state.receipts.contains(Leaf::Shredded);
                state.reader.answered_too_late |= late;
            }
            Request::Rewrap(opened) => {
                let across = self.makes(Mutation::RewrapAcrossShred);
                let now = state.reader.serves().filter(|_| across);
                wrap(&mut state.archive, now.unwrap_or(opened));
            }
        }
        Some(())
    }

    /// Generation and lease, again.
    fn may_answer(&self, state: &State, request: Request) -> bool {
        let Some(now) = state.reader.serves() else {
            return self.makes(Mutation::AnswerUnchecked);
        };
        // What is wrapped under the state of now has the generation of now.
        let across = request != Request::Unwrap && self.makes(Mutation::RewrapAcrossShred);
        across || now.live.contains(Leaf::Shredded) || self.makes(Mutation::AnswerUnchecked)
    }
}

fn ask_for_lease(state: &mut State) -> Option<()> {
    (state.reader.lease == Lease::None).then_some(())?;
    spend(&mut state.left.reader_leases)?;
    state.reader.lease = Lease::Asked;
    state.store.copy_mut(CopyName::Primary).lease_listed = true;
    Some(())
}

fn lease_lapses(state: &mut State) -> Option<()> {
    (state.reader.lease != Lease::None).then_some(())?;
    state.reader.lease = Lease::None;
    state.store.copy_mut(CopyName::Primary).lease_listed = false;
    Some(())
}

/// Drops and wipes what is older, and takes no more of it.
fn acknowledge(state: &mut State) -> Option<()> {
    let Meta { sequence, root, .. } = state.store.copy(CopyName::Primary).meta;
    let reader = &mut state.reader;
    (reader.floor < sequence).then_some(())?;
    (reader.floor, reader.acknowledged) = (sequence, root);
    reader.cache = reader.cache.filter(|view| view.sequence >= sequence);
    Some(())
}

fn begin(state: &mut State, request: impl Fn(View) -> Request) -> Option<()> {
    let reader = &mut state.reader;
    let view = reader.serves()?;
    (reader.request.is_none() && view.live.contains(Leaf::Shredded)).then_some(())?;
    reader.request = Some(request(view));
    Some(())
}

/// Wraps the data key again, under what the view says is the current generation.
fn wrap(archive: &mut Archive, view: View) {
    let lives = view.live.contains(Leaf::Shredded);
    let current = if lives {
        Leaf::Shredded
    } else {
        Leaf::Following
    };
    archive.keep_rewrapped(current);
}
