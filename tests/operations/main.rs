//! The commands, files, logs, certificates and traces that operators deal with.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../client/tests/support/mod.rs"]
mod scripted;
#[path = "../support/mod.rs"]
mod support;

mod cli;
mod logging;
mod pki;
mod protection;
mod receipts_cli;
mod reload;
mod rewrap_cli;
mod shred_cli;
mod telemetry;
mod telemetry_outages;
