use hyper::StatusCode;
use serde::Serialize;

use super::call::{Call, Endpoint, Outcome};
use super::problem::Problem;
use crate::identity::Role;

/// `POST /v1/root/rotations`: makes a new root in the HSM now.
pub(crate) struct RotateRoot;

#[derive(Serialize)]
struct RotationAnswer {
    /// Number of shred batches so far.
    sequence: u64,
}

impl Endpoint for RotateRoot {
    const NAME: &'static str = "rotate_root";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const WHOLE_DEPLOYMENT: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        call.service.keeper.rotate_root().await?;
        let sequence = call.service.key_state.keyring().sequence;
        Outcome::json(StatusCode::OK, &RotationAnswer { sequence })
    }
}
