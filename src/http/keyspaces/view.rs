use lethe_core::buckets::reaches;
use lethe_core::duration::Span;
use lethe_core::keyring::{Keyring, LiveKeyspace};
use lethe_core::keyspace::{Policy, Retention};
use lethe_core::ports::Uses;
use lethe_core::time::{Expiry, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::call::Call;
use crate::http::times::Rfc3339;

/// A keyspace as the API shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyspaceView {
    /// The keyspace's name.
    name: String,
    /// The keyspace's id, as receipts have it. A keyspace that is made again after an erase has a new
    /// one.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// How long messages live at least, such as `72h`.
    retention: String,
    /// Width of a bucket, such as `1h`: messages live at most so much longer.
    granularity: String,
    /// Age at which a key version is replaced, such as `30d`.
    rotation: String,
    /// How long a client may keep a plaintext data key, such as `5m`.
    cache_ttl: String,
    /// Shorter retentions that an issue may choose, ascending.
    retentions: Vec<String>,
    /// Keys of older versions are refused.
    minimum_version: u32,
    /// Live key versions, oldest first.
    versions: Vec<VersionView>,
    /// Number of live buckets for these settings, with those that are made ahead.
    live_buckets: usize,
}

/// A key version as the API shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionView {
    /// The version's number.
    version: u32,
    /// When the version became the newest.
    #[schema(value_type = String, format = DateTime)]
    created_at: Rfc3339,
    #[serde(flatten)]
    uses: UsesView,
}

/// How often and when last the keys of a version left.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsesView {
    /// Number of data keys issued.
    issued: u64,
    /// When a data key was issued last; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_issued_at: Option<Rfc3339>,
    /// Number of data keys unwrapped. A rewrap does not count.
    unwrapped: u64,
    /// When a data key was unwrapped last; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_unwrapped_at: Option<Rfc3339>,
}

impl From<Uses> for UsesView {
    fn from(uses: Uses) -> Self {
        Self {
            issued: uses.issued,
            last_issued_at: uses.last_issued.map(Rfc3339),
            unwrapped: uses.unwrapped,
            last_unwrapped_at: uses.last_unwrapped.map(Rfc3339),
        }
    }
}

impl KeyspaceView {
    pub(crate) fn new(keyspace: &LiveKeyspace, keyring: &Keyring, call: &Call) -> Self {
        let (now, key_uses) = (call.now, &call.service.node.key_uses);
        let policy = &keyspace.policy;
        let text = |it: Retention| Span::from_seconds(it.as_seconds()).to_string();
        let version = |version: &std::sync::Arc<lethe_core::keyring::LiveVersion>| VersionView {
            version: version.tree.version.number(),
            created_at: Rfc3339(version.created_at),
            uses: key_uses.total(version.tree).into(),
        };
        Self {
            name: keyspace.name.to_string(),
            id: keyspace.id.to_string(),
            retention: text(policy.retention()),
            granularity: Span::from_seconds(policy.granularity_seconds()).to_string(),
            rotation: policy.rotation().to_string(),
            cache_ttl: policy.cache_ttl().to_string(),
            retentions: policy.shorter_retentions().map(text).collect(),
            minimum_version: keyspace.minimum_version.number(),
            versions: keyspace.versions.iter().map(version).collect(),
            live_buckets: reached(policy, keyring, now).count(),
        }
    }
}

/// Live buckets that a policy can place keys in: those within its retention, and those made ahead.
pub(crate) fn reached<'a>(
    policy: &'a Policy,
    keyring: &'a Keyring,
    now: Timestamp,
) -> impl Iterator<Item = Expiry> + 'a {
    let buckets = keyring.buckets.keys().copied();
    buckets.filter(move |expiry| reaches(policy, *expiry, now))
}
