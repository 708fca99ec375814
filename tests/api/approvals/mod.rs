//! Approvals: what destroys much, or lets keys live longer, waits for a second operator.

mod cli;
mod deployment;
mod ends;
mod once;
mod seen;
mod settings;
mod two_operators;
mod windows;
