//! The calls, one file for each resource.

pub(crate) mod data_keys;
pub(crate) mod keyspaces;
pub(crate) mod shreds;
mod status;
