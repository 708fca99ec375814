use hyper::StatusCode;

use crate::http::call::{Call, Done, Operation};
use crate::http::keyspaces::KeyspaceView;
use crate::http::problem::Problem;
use crate::identity::Role;

/// `POST /v1/keyspaces/{keyspace}/versions`: new issues use a new key version.
pub(crate) struct Create;

impl Operation for Create {
    const NAME: &'static str = "rotate_keyspace";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let name = call.keyspace()?;
        call.service.keeper.rotate(name.clone()).await?;
        let keyring = call.service.live.keyring();
        let view = KeyspaceView::new(keyring.keyspace(name)?, &keyring, call);
        Done::json(StatusCode::CREATED, &view)
    }
}
