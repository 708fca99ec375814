//! One connection to the daemon: requests go out, answers come back, nothing is retried.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use cryptoki_sys::{CK_RV, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT};
use hsm_sim::wire::{self, Answer, Request, Response};

/// Room the frame needs beside the data of one cryptographic call.
const OVERHEAD: usize = 64 * 1024;
/// Most data one call may carry, so that no request can exceed the frame limit.
pub const MAX_DATA: usize = wire::MAX_FRAME - OVERHEAD;

/// Sends one request and waits for its answer, however long the daemon takes.
pub fn exchange(mut stream: &UnixStream, request: &Request) -> io::Result<Response> {
    wire::send(&mut stream, request)?;
    wire::receive(&mut stream)
}

/// A call outside any session, on a connection of its own: it can neither block a session nor
/// see its login.
pub fn once(socket: &Path, request: &Request) -> Result<Answer, CK_RV> {
    let stream = UnixStream::connect(socket).map_err(|_| CKR_TOKEN_NOT_PRESENT)?;
    exchange(&stream, request).map_err(|_| CKR_DEVICE_ERROR)?
}

/// The error for an answer of the wrong kind: the daemon speaks another protocol.
pub fn unexpected<T>(_: Answer) -> Result<T, CK_RV> {
    Err(CKR_DEVICE_ERROR)
}

/// Asks an idle connection whether its other end still exists, without waiting.
pub fn is_open(mut stream: &UnixStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let read = io::Read::read(&mut stream, &mut [0; 1]);
    let restored = stream.set_nonblocking(false).is_ok();
    // The daemon never speaks first: a byte here means the stream is out of step.
    restored && matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
