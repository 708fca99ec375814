use lethe_core::batch::{BatchError, Halt};
use tokio::sync::oneshot;

use super::handle::{Command, KeeperError, Put};
use super::handles::Handles;
use super::keeper::Keeper;

impl Keeper {
    /// Makes a change that somebody waits for, and answers.
    pub(super) async fn handle_command(
        &mut self,
        handles: &Handles,
        command: Command,
    ) -> Result<(), Halt> {
        match command {
            Command::PutKeyspace(name, policy, answer) => {
                let result = self.put_keyspace(name.clone(), *policy).await;
                if let Ok(Put::Updated { lengthened: true }) = result {
                    handles.metrics.lengthened_keyspaces.inc();
                    tracing::warn!(keyspace = %name, "keys, or leases of them, live longer from now on");
                }
                self.answered(handles, result, answer)
            }
            Command::Rotate(name, answer) => {
                let result = self.rotate(&name).await;
                self.answered(handles, result, answer)
            }
            Command::RotateRoot(answer) => {
                let result = self.rotate_root().await;
                self.answered(handles, result, answer)
            }
            Command::MoveHsm(approval, answer) => {
                let result = self.begin_move(approval.as_ref()).await;
                self.answered(handles, result, answer)
            }
            Command::ConfirmClock(approval, answer) => {
                let result = self.confirm_clock(handles, approval.as_ref()).await;
                self.answered(handles, result, answer)
            }
        }
    }

    fn answered<T>(
        &mut self,
        handles: &Handles,
        result: Result<T, KeeperError>,
        answer: oneshot::Sender<Result<T, KeeperError>>,
    ) -> Result<(), Halt> {
        let halt = match &result {
            Err(KeeperError::Batch(BatchError::Halt(halt))) => Err(halt.clone()),
            _ => Ok(()),
        };
        self.measure(handles);
        // Who asked may be gone.
        let _ = answer.send(result);
        halt
    }
}
