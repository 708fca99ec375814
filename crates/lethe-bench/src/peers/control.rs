use std::path::Path;
use std::process::Command;

use super::process::{Server, Stopped};
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};
use crate::pki;

/// Our own binary as the control server, with the threads that the service has.
pub(crate) fn start(folder: &Path) -> Result<Server, BenchError> {
    pki::ensure(folder)?;
    let own = std::env::current_exe().map_err(BenchError::io("our own program"))?;
    let mut command = Command::new(own);
    command.arg("control").arg("--pki").arg(folder);
    let (child, address) = Stopped::spawn_until_ready(&mut command, "control")?;
    let endpoint = Endpoint::new(address, &Identity::in_folder(folder, pki::CLIENT))?;
    Ok(Server::new(endpoint, child))
}
