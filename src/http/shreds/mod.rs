//! `/v1/keyspaces/{keyspace}/shreds`

mod answer;
mod create;
mod show;

pub(super) use answer::{Waited, await_one};
pub(super) use create::{Create, ShredItem, await_many};
pub(super) use show::Show;
