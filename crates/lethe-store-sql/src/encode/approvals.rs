use lethe_core::approval::{Action, Approval, Decision, End, Pool, Scope, ShredWindow, Void};
use lethe_core::keyspace::{MAX_SHORTER_RETENTIONS, Policy};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use crate::row::signed;

/// The columns of an approval that waits.
#[derive(Debug)]
pub struct ApprovalColumns {
    /// `id`
    pub id: Vec<u8>,
    /// `kind`: 1 to 7
    pub kind: i64,
    /// `keyspace_id`; none where it concerns the whole deployment
    pub keyspace: Option<Vec<u8>>,
    /// `keyspace_name`
    pub name: Option<String>,
    /// `conversations`, of shreds
    pub conversations: Option<i64>,
    /// `alone`, of shreds: 1 for a single one
    pub alone: Option<i64>,
    /// `version`, of a drop and of a smallest version
    pub version: Option<i64>,
    /// `settings`: before and after, 96 bytes each
    pub settings: Option<Vec<u8>>,
    /// `asked_by`
    pub asked_by: String,
    /// `asked_key`
    pub asked_key: Vec<u8>,
    /// `asked_at_ms`
    pub asked_at: i64,
    /// `expires_at_ms`
    pub expires_at: i64,
    /// `reason`
    pub reason: Option<String>,
    /// `digest`
    pub digest: Option<Vec<u8>>,
}

impl ApprovalColumns {
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn new(approval: &Approval) -> Result<Self, StoreError> {
        let scope = approval.scope.as_ref();
        let none = Self {
            id: approval.id.as_bytes().to_vec(),
            kind: 0,
            keyspace: scope.map(|Scope { id, .. }| id.as_bytes().to_vec()),
            name: scope.map(|Scope { name, .. }| name.as_str().to_owned()),
            conversations: None,
            alone: None,
            version: None,
            settings: None,
            asked_by: approval.asked_by.client.to_string(),
            asked_key: approval.asked_by.key.to_vec(),
            asked_at: signed(approval.asked_at.as_millis(), "approval.asked_at_ms")?,
            expires_at: signed(approval.expires_at.as_millis(), "approval.expires_at_ms")?,
            reason: approval.reason.as_deref().map(str::to_owned),
            digest: approval.digest.map(|it| it.to_vec()),
        };
        let of_kind = |kind| Self { kind, ..none };
        Ok(match &approval.action {
            Action::Shred {
                conversations,
                single,
            } => Self {
                conversations: Some((*conversations).into()),
                alone: Some((*single).into()),
                ..of_kind(1)
            },
            Action::EraseKeyspace => of_kind(2),
            Action::DropVersion(version) => Self {
                version: Some(version.number().into()),
                ..of_kind(3)
            },
            Action::SetMinimum(version) => Self {
                version: Some(version.number().into()),
                ..of_kind(4)
            },
            Action::SetPolicy { from, to } => Self {
                settings: Some([policy_bytes(from), policy_bytes(to)].concat()),
                ..of_kind(5)
            },
            Action::ConfirmClock => of_kind(6),
            Action::MoveHsm => of_kind(7),
        })
    }
}

/// Half of the column `approval.settings`.
fn policy_bytes(policy: &Policy) -> Vec<u8> {
    let numbers = [
        policy.retention_seconds(),
        policy.granularity_seconds(),
        policy.rotation().as_millis(),
        policy.cache_ttl().as_millis(),
    ];
    let shorter = policy.shorter_retentions().map(|it| it.as_seconds());
    let shorter = shorter
        .chain(std::iter::repeat(0))
        .take(MAX_SHORTER_RETENTIONS);
    let numbers = numbers.into_iter().chain(shorter);
    numbers.flat_map(u64::to_be_bytes).collect()
}

/// The columns `state` and `void_reason` of an approval that ended.
const fn end_columns(end: End) -> (i64, Option<i64>) {
    match end {
        End::Expired => (3, None),
        End::Void(Void::KeyspaceGone) => (4, Some(1)),
        End::Void(Void::AskerGone) => (4, Some(2)),
        End::Void(Void::Outdated) => (4, Some(3)),
        End::Withdrawn => (5, None),
    }
}

/// The columns of an approval that change when it ends or is approved.
#[derive(Debug)]
pub struct StateColumns {
    /// `state`
    pub state: i64,
    /// `void_reason`
    pub void_reason: Option<i64>,
    /// `changed_at_ms`
    pub changed_at: i64,
    /// `second_by`
    pub by: Option<String>,
    /// `second_key`
    pub key: Option<Vec<u8>>,
    /// `second_at_ms`
    pub at: Option<i64>,
}

impl StateColumns {
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn ended(end: End, at: Timestamp, decision: Option<&Decision>) -> Result<Self, StoreError> {
        Self::new(end_columns(end), at, decision)
    }

    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn approved(decision: &Decision) -> Result<Self, StoreError> {
        Self::new((2, None), decision.at, Some(decision))
    }

    fn new(
        (state, void_reason): (i64, Option<i64>),
        at: Timestamp,
        decision: Option<&Decision>,
    ) -> Result<Self, StoreError> {
        let decided = decision.map(|it| signed(it.at.as_millis(), "approval.second_at_ms"));
        Ok(Self {
            state,
            void_reason,
            changed_at: signed(at.as_millis(), "approval.changed_at_ms")?,
            by: decision.map(|it| it.by.client.to_string()),
            key: decision.map(|it| it.by.key.to_vec()),
            at: decided.transpose()?,
        })
    }
}

/// The columns that name a window of shreds.
#[derive(Debug)]
pub struct WindowColumns {
    /// `pool`
    pub pool: i64,
    /// `client`; empty if the window is not of a client
    pub client: String,
    /// `keyspace_id`; empty if the window is not of a keyspace
    pub keyspace: Vec<u8>,
}

impl WindowColumns {
    /// The columns of one window.
    #[must_use]
    pub fn new(window: &ShredWindow) -> Self {
        let (pool, client, keyspace) = match window {
            ShredWindow::Pool(pool) => (pool, "", vec![]),
            ShredWindow::Client(pool, client) => (pool, client.as_ref(), vec![]),
            ShredWindow::Keyspace(pool, id) => (pool, "", id.as_bytes().to_vec()),
        };
        Self {
            pool: match pool {
                Pool::MessageServers => 1,
                Pool::Operators => 2,
            },
            client: client.to_owned(),
            keyspace,
        }
    }
}
