//! The store in PostgreSQL: its contract, and what only a database can do wrong.
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
