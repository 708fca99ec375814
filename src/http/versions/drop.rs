use lethe_core::approval::Action;
use lethe_core::keyspace::KeyVersion;

use crate::erasure::ErasureRequest;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::keyspaces::forget;
use crate::http::problem::Problem;
use crate::identity::Role;

/// `DELETE /v1/keyspaces/{keyspace}/versions/{version}`: destroys all keys of an old key version. It
/// cannot be undone.
pub(crate) struct Drop;

impl Endpoint for Drop {
    const NAME: &'static str = "drop_version";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const RUNS_TO_COMPLETION: bool = true;

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let invalid = "a version is a number from 1 up";
        let number = call.parameter("version", invalid)?;
        let version = KeyVersion::new(number).ok_or_else(|| Problem::invalid(invalid))?;
        forget(
            call,
            Action::DropVersion(version),
            ErasureRequest::Drop(version),
        )
        .await
    }
}
