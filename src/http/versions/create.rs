use hyper::StatusCode;

use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::keyspaces::KeyspaceView;
use crate::http::openapi::Description;
use crate::http::problem::{Code, Problem};
use crate::identity::Role;

/// `POST /v1/keyspaces/{keyspace}/versions`: makes a new key version, which new keys are issued under.
pub(crate) struct Create;

impl Endpoint for Create {
    const NAME: &'static str = "rotate_keyspace";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        Description::new(Self::NAME, "keyspaces", "New issues use a new key version")
            .keyspace()
            .answers(201, "Keyspace")
            .refuses(&[Code::Conflict, Code::TooManyBuckets])
            .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let name = call.keyspace()?;
        call.check_audit()?;
        call.service.keeper.rotate(name.clone()).await?;
        let keyring = call.service.node.key_state.keyring();
        let view = KeyspaceView::new(keyring.keyspace(name)?, &keyring, call);
        Outcome::json(StatusCode::CREATED, &view)
    }
}
