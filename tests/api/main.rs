//! The API, as clients meet it.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod approvals;
mod connections;
mod keys;
mod paths;
mod policies;
mod rotation;
mod shreds;
mod status;
