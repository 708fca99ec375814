//! What `hsm-sim status|fault|tamper` and the daemon say to each other, framed as in [`crate::wire`].

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::faults::Fault;
use crate::wire::{receive, send};

/// A wish of the operator.
#[derive(Debug, Serialize, Deserialize)]
pub enum AdminRequest {
    /// How the daemon is.
    Status,
    /// Switches a fault on.
    SetFault(Fault, Option<u64>),
    /// Switches a fault off, or all.
    ClearFault(Option<Fault>),
    /// Zeroizes the token.
    Tamper,
}

/// The daemon's answer to every wish; the text says what went wrong.
pub type AdminResponse = Result<Status, String>;

/// How the daemon is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Token label; empty when broken.
    pub label: String,
    /// `CKF_*` of the token.
    pub flags: u64,
    /// Whether the token was tampered with or broke down.
    pub broken: bool,
    /// Token objects.
    pub objects: usize,
    /// Open sessions.
    pub sessions: usize,
    /// Calls of PKCS#11 clients since the start: round trips, to a client.
    pub calls: u64,
    /// Faults in force.
    pub faults: Vec<(Fault, u64)>,
}

/// Asks the daemon that serves `dir`.
///
/// # Errors
/// When none does, or it refuses.
pub fn ask(dir: &Path, request: &AdminRequest) -> io::Result<Status> {
    let mut stream = UnixStream::connect(dir.join("admin.sock"))?;
    send(&mut stream, request)?;
    receive::<AdminResponse>(&mut stream)?.map_err(io::Error::other)
}
