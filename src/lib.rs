//! The service and the command line: HTTP in, wiring out; decides nothing about keys.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod admission;
pub mod app;
pub mod approvals;
pub mod cli;
pub mod config;
pub mod erasure;
pub mod http;
pub mod identity;
pub mod leader;
pub mod limits;
pub mod node;
pub mod observability;
pub mod permissions;
pub mod pki;
