//! `/v1/approvals`

mod approve;
mod list;
mod show;
mod view;
mod waits;
mod withdraw;

pub(super) use approve::{Approve, ApproveMany, ApproveManyBody};
pub(super) use list::List;
pub(super) use show::Show;
pub(super) use view::{ApprovalView, SettingsView};
pub(super) use waits::{not_made, question, waits};
pub(super) use withdraw::Withdraw;
