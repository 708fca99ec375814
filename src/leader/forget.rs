use lethe_core::batch::{Halt, Work};

use super::handles::Handles;
use super::keeper::Keeper;
use crate::observability::telemetry::Trace;

/// Requests of one batch, at most.
const TOGETHER: usize = 4_096;

impl Keeper {
    /// One batch of what is accepted, if there is any.
    pub(super) async fn forget(&mut self, handles: &Handles) -> Result<(), Halt> {
        if self.paused {
            return Ok(());
        }
        let erasures = self.pending_erasures.next(TOGETHER);
        if erasures.is_empty() {
            return Ok(());
        }
        let (begun, count) = (self.ports.clock.since_boot(), erasures.len());
        let work = Work {
            erasures,
            ..Work::default()
        };
        let trace = match &handles.telemetry {
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
                let metrics = &handles.metrics;
                metrics.forgotten(count, took, self.key_state.page_bytes());
                let backlog = self.pending_erasures.backlog();
                metrics.backlog(backlog.erasures, backlog.oldest, handles.node.now());
                Ok(())
            }
            Err(error) => {
                self.paused = true;
                trace.failed();
                tracing::warn!(%error, "a batch was not finished; trying again");
                self.report(handles, Err(error))
            }
        }
    }
}
