//! The command line as operators and their supervisors meet it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "cli/dev.rs"]
mod dev;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/log.rs"]
mod log;
#[path = "cli/pin.rs"]
mod pin;
#[path = "cli/streams.rs"]
mod streams;
