//! Of one approval, one after the other: what one has looked at does not change before it has done
//! what follows from it. One process has the store, so its memory is enough.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lethe_core::approval::ApprovalId;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Queue = tokio::sync::Mutex<()>;

/// Nobody else has it until it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Whose turn it is, for each approval that somebody is at.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<ApprovalId, Weak<Queue>>>);

impl Turns {
    /// Waits for those that came before.
    pub(super) async fn wait(&self, id: ApprovalId) -> Turn {
        self.queue(id).lock_owned().await
    }

    /// None while somebody else has it.
    pub(super) fn at_once(&self, id: ApprovalId) -> Option<Turn> {
        self.queue(id).try_lock_owned().ok()
    }

    fn queue(&self, id: ApprovalId) -> Arc<Queue> {
        let mut queues = self.0.lock();
        queues.retain(|_, queue| queue.strong_count() > 0);
        queues.get(&id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let queue = Arc::default();
            queues.insert(id, Arc::downgrade(&queue));
            queue
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ApprovalId = ApprovalId::from_bytes([1; 16]);
    const OTHER: ApprovalId = ApprovalId::from_bytes([2; 16]);

    #[tokio::test]
    async fn one_has_it_at_a_time_and_another_approval_is_no_matter() {
        let turns = Turns::default();
        let turn = turns.wait(ONE).await;
        assert!(turns.at_once(ONE).is_none());
        assert!(turns.at_once(OTHER).is_some());
        let waiting = turns.wait(ONE);
        drop(turn);
        let turn = waiting.await;
        assert!(turns.at_once(ONE).is_none());
        drop(turn);
        assert!(turns.at_once(ONE).is_some());
        assert!(turns.0.lock().len() <= 1, "those that are over are gone");
    }
}
