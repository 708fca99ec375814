use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{Stopped, beside_us};
use crate::clock;
use crate::error::BenchError;

const WAIT_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// The simulated device of a development folder, without its service.
pub(crate) struct HsmSim {
    _process: Stopped,
}

impl HsmSim {
    /// Starts it and waits until it answers.
    pub(crate) fn start(folder: &Path) -> Result<Self, BenchError> {
        let state = folder.join("hsm");
        let mut command = Command::new(beside_us("hsm-sim")?);
        command.args(["serve", "--dir"]).arg(&state);
        let process = Stopped::spawn(&mut command, Stdio::null())?;
        let deadline = clock::now() + WAIT_LIMIT;
        while UnixStream::connect(state.join("hsm.sock")).is_err() {
            if clock::now() > deadline {
                return Err(BenchError::Server("hsm-sim did not start".into()));
            }
            std::thread::sleep(POLL);
        }
        Ok(Self { _process: process })
    }
}
