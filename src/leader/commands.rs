use lethe_core::batch::{BatchError, Halt};
use tokio::sync::oneshot;

use super::handle::{Command, KeeperError, PutOutcome};
use super::keeper::Keeper;

impl Keeper {
    /// Makes a change, and answers the caller that waits for it.
    pub(super) async fn handle_command(&mut self, command: Command) -> Result<(), Halt> {
        match command {
            Command::PutKeyspace(name, policy, answer) => {
                let result = self.put_keyspace(name.clone(), *policy).await;
                if let Ok(PutOutcome::Updated { lengthened: true }) = result {
                    self.handles.metrics.lengthened_keyspaces.inc();
                    tracing::warn!(keyspace = %name, "keys, or leases of them, live longer from now on");
                }
                self.answered(result, answer)
            }
            Command::Rotate(name, answer) => {
                let result = self.rotate(&name).await;
                self.answered(result, answer)
            }
            Command::RotateRoot(answer) => {
                let result = self.rotate_root().await;
                self.answered(result, answer)
            }
            Command::MoveHsm(approval, answer) => {
                let result = self.begin_move(approval.as_ref()).await;
                self.answered(result, answer)
            }
            Command::ConfirmClock(approval, answer) => {
                let result = self.confirm_clock(approval.as_ref()).await;
                self.answered(result, answer)
            }
        }
    }

    fn answered<T>(
        &mut self,
        result: Result<T, KeeperError>,
        answer: oneshot::Sender<Result<T, KeeperError>>,
    ) -> Result<(), Halt> {
        let halt = match &result {
            Err(KeeperError::Batch(BatchError::Halt(halt))) => Err(halt.clone()),
            _ => Ok(()),
        };
        self.update_metrics();
        // The caller may not wait any more.
        let _ = answer.send(result);
        halt
    }
}
