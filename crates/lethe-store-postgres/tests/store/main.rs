//! The store in PostgreSQL: its contract, and what only a database can do wrong.
//!
//! On several threads: a test that waits for a program must not keep its store from giving signs of life.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod cancelled;
mod contract;
mod environment;
mod key_uses;
mod kill;
mod members;
mod numbers;
mod outages;
mod pooler;
mod receipts;
mod refusals;
mod site;
mod start;
mod tls;
