//! `/v1/keyspaces/{keyspace}/data-keys`

mod batch;
mod encoded;
mod issue;
mod rewrap;
mod unwrap;

pub(super) use issue::{Issue, IssueItem};
pub(super) use rewrap::{Rewrap, RewrapItem};
pub(super) use unwrap::{Unwrap, UnwrapItem};
