//! See the workspace README.

pub mod audit_contract;

pub mod store_contract;

pub mod hsm_contract;

mod built;

pub use built::built;

pub mod memory_hsm;

pub mod postgres;

pub mod watched_hsm;
