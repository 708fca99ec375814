//! Calls to the daemon: requests go out, answers come back, nothing is retried.

use cryptoki_sys::{CK_RV, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT};
use hsm_sim::wire::{self, Answer, Request};

use crate::endpoint::Endpoint;

/// Room the frame needs beside the data of one cryptographic call.
const OVERHEAD: usize = 64 * 1024;
/// Most data one call may carry, so that no request can exceed the frame limit.
pub const MAX_DATA: usize = wire::MAX_FRAME - OVERHEAD;

/// A call outside any session, on a connection of its own: it can neither block a session nor
/// see its login.
pub fn once(daemon: &Endpoint, request: &Request) -> Result<Answer, CK_RV> {
    let transport = daemon.connect().map_err(|_| CKR_TOKEN_NOT_PRESENT)?;
    transport.exchange(request).map_err(|_| CKR_DEVICE_ERROR)?
}

/// The error for an answer of the wrong kind: the daemon speaks another protocol.
pub fn unexpected<T>(_: Answer) -> Result<T, CK_RV> {
    Err(CKR_DEVICE_ERROR)
}
