//! The service and the command line: HTTP in, wiring out; decides nothing about keys.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
pub mod admission;
pub mod app;
pub mod approvals;
pub mod cli;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod forgetting;
pub mod hsm_moves;
pub mod http;
pub mod jobs;
pub mod key_uses;
pub mod limits;
pub mod live;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod pki;
pub mod reload;
pub mod service;
pub mod telemetry;
pub mod tls;
pub mod verification_keys;
