//! The audit log in files: its contract, and what only files can do wrong.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

#[path = "../common/mod.rs"]
mod common;

mod contract;
mod failures;
mod kill;
mod segments;
