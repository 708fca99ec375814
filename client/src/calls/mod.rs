//! The calls, one file for each resource.

pub(crate) mod approvals;
mod clock;
pub(crate) mod data_keys;
mod hsm_moves;
pub(crate) mod keyspaces;
mod root;
pub(crate) mod shreds;
mod status;
pub(crate) mod verification_keys;
