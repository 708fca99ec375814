use hyper::StatusCode;

use super::view::KeyspaceView;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::Description;
use crate::http::problem::Problem;
use crate::identity::Role;

/// `GET /v1/keyspaces/{keyspace}`: shows one keyspace.
pub(crate) struct Show;

impl Endpoint for Show {
    const NAME: &'static str = "show_keyspace";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    fn describe() -> Description {
        Description::new(Self::NAME, "keyspaces", "Settings, versions, live buckets")
            .keyspace()
            .answers(200, "Keyspace")
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let keyring = call.service.node.key_state.keyring();
        let keyspace = keyring.keyspace(call.keyspace()?)?;
        Outcome::json(StatusCode::OK, &KeyspaceView::new(keyspace, &keyring, call))
    }
}
