use hyper::StatusCode;
use serde::Serialize;

use super::approvals::not_made;
use super::call::{Call, Endpoint, Outcome};
use super::openapi::Description;
use super::problem::{Code, Problem};
use crate::identity::Role;
use crate::leader::KeeperError;
use crate::leader::hsm_moves::{DeviceName, HsmMoves};

/// `POST /v1/hsm/moves`: moves everything to the HSM of `[hsm_next]`. It answers when the move has begun.
pub(crate) struct MoveHsm;

/// `GET /v1/hsm/moves`: shows the progress of the move.
pub(crate) struct ShowHsmMove;

#[derive(Serialize)]
struct MoveAnswer {
    /// State of the move: `unconfigured`, `ready`, `moving` or `moved`.
    state: &'static str,
    /// The HSM of `[hsm]`.
    from: DeviceView,
    /// The HSM of `[hsm_next]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<DeviceView>,
    /// Number of live buckets.
    buckets: usize,
    /// Number of live buckets that have moved.
    moved_buckets: usize,
    /// Why the move does not make progress, while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Serialize)]
struct DeviceView {
    module: String,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u64>,
}

impl From<&DeviceName> for DeviceView {
    fn from(name: &DeviceName) -> Self {
        Self {
            module: name.module.to_string_lossy().into_owned(),
            token: name.token.label.clone(),
            serial: name.token.serial.clone(),
            slot: name.token.slot,
        }
    }
}

impl MoveAnswer {
    fn from_moves(moves: &HsmMoves) -> Self {
        let progress = moves.progress();
        Self {
            state: progress.state.name(),
            from: moves.first().into(),
            to: moves.next().as_ref().map(DeviceView::from),
            buckets: progress.buckets,
            moved_buckets: progress.moved,
            trouble: progress.trouble,
        }
    }
}

impl Endpoint for MoveHsm {
    const NAME: &'static str = "move_hsm";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const WHOLE_DEPLOYMENT: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let summary = "Everything moves to the HSM of [hsm_next]; answered when that has begun";
        Description::new(Self::NAME, "deployment", summary)
            .answers(202, "HsmMove")
            .answers(202, "ApprovalRequired")
            .refuses(&[Code::Conflict, Code::TooManyBuckets, Code::TooManyApprovals])
            .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        call.check_audit()?;
        let moves = &call.service.hsm_moves;
        // Opened here and not in the keeper, because it may take long.
        if moves.reopen().await.is_none() {
            return Err(KeeperError::NoOtherHsm.into());
        }
        match call.service.keeper.move_hsm(None).await {
            Ok(()) => shown(call),
            Err(error) => not_made(call, error).await,
        }
    }
}

/// The answer of a move that has begun.
pub(super) fn shown(call: &Call) -> Result<Outcome, Problem> {
    let moves = &call.service.hsm_moves;
    let mut outcome = Outcome::json(StatusCode::ACCEPTED, &MoveAnswer::from_moves(moves))?;
    outcome.location = Some("/v1/hsm/moves".to_owned());
    Ok(outcome)
}

impl Endpoint for ShowHsmMove {
    const NAME: &'static str = "show_hsm_move";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;

    fn describe() -> Description {
        Description::new(
            Self::NAME,
            "deployment",
            "How far the move to another HSM is",
        )
        .answers(200, "HsmMove")
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        Outcome::json(
            StatusCode::OK,
            &MoveAnswer::from_moves(&call.service.hsm_moves),
        )
    }
}
