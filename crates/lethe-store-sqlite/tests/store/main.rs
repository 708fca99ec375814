//! The store in SQLite: its contract, and what only a database can do wrong.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod contract;
mod kill;
mod migrations;
mod opening;
mod refusals;
