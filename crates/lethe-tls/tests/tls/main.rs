//! Certificate chains and PEM files, as strangers send them.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

#[path = "../support/mod.rs"]
mod support;

mod chains;
mod pem;
