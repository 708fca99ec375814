//! The store in PostgreSQL: its contract, and what only a database can do wrong.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod cancelled;
mod contract;
mod kill;
mod pooler;
mod refusals;
mod site;
