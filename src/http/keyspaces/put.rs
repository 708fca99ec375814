use hyper::StatusCode;
use lethe_core::duration::Span;
use lethe_core::keyspace::{KeyVersion, Policy};
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::KeyspaceView;
use crate::http::approvals::not_made;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::json;
use crate::http::openapi::{Description, reference};
use crate::http::problem::{Code, Problem};
use crate::identity::Role;
use crate::leader::{self, Settings};

/// `PUT /v1/keyspaces/{keyspace}`: makes a keyspace or changes its settings. They hold for keys that are
/// issued from now on.
pub(crate) struct Put;

/// A keyspace's settings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutBody {
    /// How long messages live at least, such as `72h`.
    #[schema(pattern = "^[0-9]+(ms|s|m|h|d)$")]
    retention: String,
    /// Width of a bucket, such as `1h`: messages live at most so much longer.
    #[schema(pattern = "^[0-9]+(ms|s|m|h|d)$")]
    granularity: String,
    /// Age at which a key version is replaced, such as `30d`.
    #[schema(pattern = "^[0-9]+(ms|s|m|h|d)$")]
    rotation: String,
    /// How long a client may keep a plaintext data key, such as `5m`.
    #[schema(pattern = "^[0-9]+(ms|s|m|h|d)$")]
    cache_ttl: String,
    /// Shorter retentions that an issue may choose, such as `["1h", "1d"]`; none without this.
    #[serde(default)]
    #[schema(max_items = 8)]
    retentions: Option<Vec<String>>,
    /// Keys of older versions are refused. A higher number may need a second operator's approval; a
    /// lower one always needs it.
    #[serde(default, deserialize_with = "json::whole")]
    #[schema(minimum = 1, maximum = 4294967295u32)]
    minimum_version: Option<u32>,
}

impl Endpoint for Put {
    const NAME: &'static str = "put_keyspace";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        Description::new(
            Self::NAME,
            "keyspaces",
            "Makes a keyspace or replaces its settings",
        )
        .keyspace()
        .body(reference("PutKeyspace"))
        .answers(200, "Keyspace")
        .answers(201, "Keyspace")
        .answers(202, "ApprovalRequired")
        .refuses(&[Code::Conflict, Code::TooManyBuckets, Code::TooManyApprovals])
        .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let settings = read(&json::parse::<PutBody>(&call.body)?)?;
        let name = call.keyspace()?;
        call.check_audit()?;
        let keeper = &call.service.keeper;
        let put = match keeper.put_keyspace(name.clone(), settings).await {
            Ok(put) => put,
            Err(error) => return not_made(call, error).await,
        };
        let keyring = call.service.node.key_state.keyring();
        let keyspace = keyring.keyspace(name)?;
        let status = match put {
            leader::PutOutcome::Created => StatusCode::CREATED,
            leader::PutOutcome::Updated { .. } => StatusCode::OK,
        };
        Outcome::json(status, &KeyspaceView::new(keyspace, &keyring, call))
    }
}

fn read(settings: &PutBody) -> Result<Settings, Problem> {
    let version = |number| {
        let invalid = "minimum_version is a number from 1 up";
        KeyVersion::new(number).ok_or_else(|| Problem::invalid(invalid))
    };
    Ok(Settings {
        keyspace: None,
        policy: Some(policy(settings)?),
        expected: None,
        minimum_version: settings.minimum_version.map(version).transpose()?,
        approval: None,
    })
}

fn policy(settings: &PutBody) -> Result<Policy, Problem> {
    let span = |name: &str, text: &str| {
        text.parse::<Span>()
            .map_err(|error| Problem::invalid(format_args!("{name}: {error}")))
    };
    let offered = settings.retentions.iter().flatten();
    let offered = offered.map(|text| span("retentions", text));
    let policy = Policy::new(
        span("retention", &settings.retention)?,
        span("granularity", &settings.granularity)?,
        span("rotation", &settings.rotation)?,
        span("cache_ttl", &settings.cache_ttl)?,
    )?;
    Ok(policy.with_shorter_retentions(&offered.collect::<Result<Vec<_>, _>>()?)?)
}
