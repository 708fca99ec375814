//! A simulator of a network HSM: the token lives in the daemon's process, behind a socket.
//!
//! [`token`] answers the PKCS#11 calls of [`wire`], [`storage`] keeps its objects so that a
//! destroyed one cannot be read again, [`daemon`] serves them and [`faults`] spoils the day.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod admin;
pub mod cli;
pub mod constants;
pub mod daemon;
pub mod faults;
mod listen;
pub mod storage;
pub mod tls;
pub mod token;
pub mod wire;
