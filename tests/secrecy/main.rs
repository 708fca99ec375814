//! What is left for an attacker who has the memory, the store and the inside of the HSM, and a second
//! reader of every format.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod independent;
mod memory;
mod seizure;
