//! The HSM port over PKCS#11.
//!
//! PKCS#11 calls block, and may block for ever when a network HSM hangs. They run on threads of
//! this crate ([`pool`]), each with a session of its own; a caller waits for at most
//! `call_timeout`. A call given up on keeps its thread and session until it ends, and does
//! nothing more then.

mod adapter;
mod call;
mod claim;
mod config;
mod errors;
mod handles;
mod objects;
mod operations;
mod pool;
mod room;
mod session;
mod signing;
mod worker;

pub use adapter::Pkcs11Hsm;
pub use config::{IvSource, Pin, Pkcs11Config, TokenSelector};
