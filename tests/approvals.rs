//! What destroys much, or lets anything live longer, waits for a second operator.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "approvals/cli.rs"]
mod cli;
#[path = "approvals/deployment.rs"]
mod deployment;
#[path = "approvals/ends.rs"]
mod ends;
#[path = "approvals/once.rs"]
mod once;
#[path = "approvals/seen.rs"]
mod seen;
#[path = "approvals/settings.rs"]
mod settings;
#[path = "approvals/two_operators.rs"]
mod two_operators;
#[path = "approvals/windows.rs"]
mod windows;
