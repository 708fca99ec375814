use hyper::StatusCode;
use serde::Serialize;

use super::call::{Call, Done, Operation};
use super::problem::Problem;
use crate::identity::Role;

/// `POST /v1/root/rotations`: a new root in the HSM, now.
pub(crate) struct RotateRoot;

#[derive(Serialize)]
struct RotationAnswer {
    /// Batches so far.
    sequence: u64,
}

impl Operation for RotateRoot {
    const NAME: &'static str = "rotate_root";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const WHOLE_DEPLOYMENT: bool = true;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        call.service.keeper.rotate_root().await?;
        let sequence = call.service.live.keyring().sequence;
        Done::json(StatusCode::OK, &RotationAnswer { sequence })
    }
}
