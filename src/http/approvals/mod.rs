//! `/v1/approvals`

mod approve;
mod list;
mod pending;
mod show;
mod view;
mod withdraw;

pub(super) use approve::{Approve, ApproveMany, ApproveManyBody};
pub(super) use list::List;
pub(super) use pending::{answer_pending, approval_check, not_made};
pub(super) use show::Show;
pub(super) use view::{ApprovalView, SettingsView};
pub(super) use withdraw::Withdraw;
