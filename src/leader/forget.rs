use lethe_core::batch::{Halt, Work};

use super::keeper::Keeper;
use crate::node::upkeep::check_rows;
use crate::observability::telemetry::Trace;

/// Requests of one batch, at most.
const TOGETHER: usize = 4_096;

impl Keeper {
    /// One batch of what is accepted, if there is any.
    pub(super) async fn forget(&mut self) -> Result<(), Halt> {
        check_rows(self.ports.store.as_ref())?;
        if self.due.paused {
            return Ok(());
        }
        let erasures = self.handles.pending_erasures.next(TOGETHER);
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
            self.recovered().await?;
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
                self.report(Err(error))
            }
        }
    }
}
