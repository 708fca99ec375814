//! `/v1/keyspaces/{keyspace}/shreds`, `/v1/shreds`

mod across;
mod answer;
mod create;
mod show;

pub(super) use across::{CreateAcross, ShredAcross, ShredAcrossItem};
pub(super) use answer::{Waited, await_one};
pub(super) use create::{Create, ShredItem, await_many};
pub(super) use show::Show;
