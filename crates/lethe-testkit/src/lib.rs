//! See the workspace README.

pub mod store_contract;

pub mod hsm_contract;
