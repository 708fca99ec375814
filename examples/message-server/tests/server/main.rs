//! The message server over HTTP, and the replay of a recording.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

#[path = "../support/mod.rs"]
mod support;

mod http;
mod replay;
