use lethe_core::approval::Action;
use lethe_core::keyspace::KeyVersion;

use crate::erasure::ErasureRequest;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::keyspaces::forget;
use crate::http::openapi::Description;
use crate::http::problem::{Code, Problem};
use crate::identity::Role;
use serde_json::json;

/// `DELETE /v1/keyspaces/{keyspace}/versions/{version}`: destroys all keys of an old key version. It
/// cannot be undone.
pub(crate) struct Drop;

impl Endpoint for Drop {
    const NAME: &'static str = "drop_version";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let number = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
        let summary = "All keys of an old version, gone for good";
        Description::new(Self::NAME, "forgetting", summary)
            .keyspace()
            .path("version", "The key version's number", number)
            .id_and_reason()
            .refuses(&[Code::NotFound])
            .forgets()
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let invalid = "a version is a number from 1 up";
        let text: String = call.parameter("version", invalid)?;
        // Rust also reads a sign and leading zeros; what is destroyed has one name.
        let number = text.parse().ok();
        let number = number.filter(|number: &u32| number.to_string() == text);
        let version = number.and_then(KeyVersion::new);
        let version = version.ok_or_else(|| Problem::invalid(invalid))?;
        forget(
            call,
            Action::DropVersion(version),
            ErasureRequest::Drop(version),
        )
        .await
    }
}
