use lethe_core::batch::{Halt, Work};

use super::keeper::Keeper;
use crate::node::upkeep::check_rows;
use crate::observability::telemetry::Trace;

/// The most erasures of one batch.
const MAX_ERASURES: usize = 4_096;

impl Keeper {
    /// Runs a batch with the next accepted erasures, if there are any.
    pub(super) async fn run_next_batch(&mut self) -> Result<(), Halt> {
        check_rows(self.ports.store.as_ref())?;
        if self.due.paused {
            return Ok(());
        }
        let erasures = self.handles.pending_erasures.next(MAX_ERASURES);
        if erasures.is_empty() {
            return Ok(());
        }
        let (begun, count) = (self.ports.clock.since_boot(), erasures.len());
        let work = Work {
            erasures,
            ..Work::default()
        };
        let trace = match &self.handles.telemetry {
            Some(telemetry) => telemetry.batch(count),
            None => Trace::default(),
        };
        let done = trace.within(async {
            self.recover().await?;
            self.batch(work).await
        });
        let done = done.await;
        let took = self.ports.clock.since_boot().saturating_sub(begun);
        match done {
            Ok(()) => {
                let bytes = self.handles.node.key_state.page_bytes();
                self.handles.metrics.forgotten(count, took, bytes);
                Ok(())
            }
            Err(error) => {
                self.due.paused = true;
                trace.failed();
                tracing::warn!(%error, "a batch was not finished; trying again");
                self.record_result(Err(error))
            }
        }
    }
}
