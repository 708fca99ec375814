//! `/v1/keyspaces/{keyspace}/data-keys`

mod batch;
mod encoded;
mod issue;
mod unwrap;

pub(super) use issue::{Issue, IssueItem};
pub(super) use unwrap::{Unwrap, UnwrapItem};
