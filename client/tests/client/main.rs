//! The client against a scripted service.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod messages;
mod shreds;
mod transport;
