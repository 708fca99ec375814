use hyper::StatusCode;
use serde::Serialize;

use super::call::{Call, Endpoint, Outcome};
use super::openapi::Description;
use super::problem::{Code, Problem};
use crate::identity::Role;

/// `POST /v1/root/rotations`: makes a new root in the HSM now.
pub(crate) struct RotateRoot;

#[derive(Serialize)]
struct RotationAnswer {
    /// Number of the shred batch that made the new root.
    sequence: u64,
}

impl Endpoint for RotateRoot {
    const NAME: &'static str = "rotate_root";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const WHOLE_DEPLOYMENT: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        Description::new(Self::NAME, "deployment", "A new root in the HSM, now")
            .answers(200, "Rotation")
            .refuses(&[Code::TooManyBuckets])
            .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        call.check_audit()?;
        call.service.keeper.rotate_root().await?;
        let sequence = call.service.node.key_state.keyring().sequence;
        Outcome::json(StatusCode::OK, &RotationAnswer { sequence })
    }
}
