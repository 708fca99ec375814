//! `/v1/keyspaces`

mod erase;
mod list;
mod put;
mod show;
mod view;

pub(super) use erase::{Erase, forget};
pub(super) use list::List;
pub(super) use put::{Put, PutBody};
pub(super) use show::Show;
pub(super) use view::{KeyspaceView, UsesView, VersionView, reached};
