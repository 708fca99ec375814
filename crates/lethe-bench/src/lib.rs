//! The load generator, the control server and the peers of `make bench`.
//!
//! | module | concept |
//! |---|---|
//! | [`load`] | a closed loop of requests over mTLS, cheap enough to share two cores with the server |
//! | [`control`] | the same stack as the service with a fixed body: what TLS and HTTP alone cost |
//! | [`peers`] | the servers that are measured: control, Lethe, OpenBao |
//! | `attacks` | what an attacker may try, and what a good client beside it notices |
//! | [`run`] | rounds over all of them, medians, targets, the table |
//!
//! A run with one wrong answer is reported as failed, never counted.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod attacks;
pub mod cli;
mod clock;
pub mod control;
mod cpu;
mod error;
mod identity;
pub mod load;
mod open_files;
mod output;
mod peers;
mod pki;
mod run;

pub use error::BenchError;
