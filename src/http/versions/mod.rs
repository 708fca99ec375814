//! `/v1/keyspaces/{keyspace}/versions`

mod create;
mod drop;

pub(super) use create::Create;
pub(super) use drop::Drop;
