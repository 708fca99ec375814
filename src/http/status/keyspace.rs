use lethe_core::duration::Span;
use lethe_core::grid;
use lethe_core::keyring::{Keyring, LiveKeyspace, LiveVersion};
use lethe_core::ports::Uses;
use lethe_core::time::{Expiry, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::since;
use crate::http::call::Call;
use crate::http::keyspaces::{UsesView, reached};
use crate::http::times::Rfc3339;

/// Largest number of entries in the list of buckets. Neighbours are grouped when there are more.
const MOST_ENTRIES: usize = 100;

/// What an attacker would find of one keyspace who seized the service now.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct KeyspaceStatus {
    /// The name of the keyspace.
    name: String,
    /// How long messages live at least, such as `72h`.
    retention: String,
    /// Live key versions, oldest first.
    versions: Vec<u32>,
    /// Messages that were sealed before this time do not open any more. While keys of earlier settings may
    /// exist, the time at which the oldest key version was made.
    #[schema(value_type = String, format = DateTime)]
    oldest_readable: Rfc3339,
    /// The time until which keys of earlier settings may open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    earlier_settings_until: Option<Rfc3339>,
    /// The number of live buckets for keys of this keyspace, including buckets that were made ahead.
    live_buckets: usize,
    /// The same buckets with their time left, the next to expire first; at most 100 entries.
    buckets: Vec<BucketsStatus>,
    /// Live key versions, oldest first.
    key_versions: Vec<KeyVersionStatus>,
}

/// One live bucket, or neighbours where there are many.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct BucketsStatus {
    /// The time at which the last bucket of the entry expires.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Rfc3339,
    /// The seconds until then.
    seconds_left: u64,
    /// The number of buckets of the entry.
    count: usize,
}

/// One live key version.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct KeyVersionStatus {
    /// The number of the version.
    version: u32,
    /// When the version became the newest.
    #[schema(value_type = String, format = DateTime)]
    created_at: Rfc3339,
    /// The seconds since then.
    age_seconds: u64,
    /// The generations of conversations that were shredded in this version.
    forgotten: u64,
    /// The clients that used keys of the version, the most recent first. If nobody used them for weeks, the
    /// version may be dropped.
    clients: Vec<ClientUses>,
}

/// What one client did with the keys of a version.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ClientUses {
    /// The SPIFFE id of the client; empty for all clients beyond the first thousand.
    client: String,
    #[serde(flatten)]
    uses: UsesView,
}

impl KeyspaceStatus {
    pub(super) fn new(
        keyspace: &LiveKeyspace,
        keyring: &Keyring,
        overdue: &[Expiry],
        call: &Call,
    ) -> Self {
        let now = call.now;
        let policy = &keyspace.policy;
        let reached = reached(policy, keyring, now);
        let mut live: Vec<_> = reached.filter(|expiry| !expiry.has_passed(now)).collect();
        live.sort_unstable();
        let versions = &keyspace.versions;
        let later = |until: &Timestamp| *until > now;
        Self {
            name: keyspace.name.to_string(),
            retention: Span::from_seconds(policy.retention_seconds()).to_string(),
            versions: versions.iter().map(|it| it.tree.version.number()).collect(),
            oldest_readable: Rfc3339(oldest_readable(keyspace, &live, overdue, now)),
            earlier_settings_until: Some(keyspace.expiries_until).filter(later).map(Rfc3339),
            live_buckets: live.len(),
            buckets: grouped(&live, now),
            key_versions: versions
                .iter()
                .map(|it| KeyVersionStatus::new(it, call))
                .collect(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl KeyVersionStatus {
    fn new(version: &LiveVersion, call: &Call) -> Self {
        let uses = call
            .service
            .node
            .key_uses
            .by_client(version.tree)
            .into_iter();
        let view = |(client, uses): (Box<str>, Uses)| ClientUses {
            client: client.into(),
            uses: uses.into(),
        };
        Self {
            version: version.tree.version.number(),
            created_at: Rfc3339(version.created_at),
            age_seconds: since(version.created_at, call.now),
            forgotten: version.root.forgotten(),
            clients: uses.map(view).collect(),
        }
    }
}

/// The first time at which the oldest bucket that still exists could be issued from, and not before the
/// oldest key version. An expired bucket counts until it is destroyed.
fn oldest_readable(
    keyspace: &LiveKeyspace,
    live: &[Expiry],
    overdue: &[Expiry],
    now: Timestamp,
) -> Timestamp {
    let policy = &keyspace.policy;
    let overdue = overdue.iter().copied();
    let there = overdue.chain(live.iter().copied());
    // The bucket of a short retention may expire first and begin last.
    let first = there.filter_map(|expiry| grid::first_issue(policy, expiry));
    let first = match keyspace.expiries_until > now {
        // It is not known which buckets hold the keys of earlier settings.
        true => Timestamp::from_millis(0),
        false => first.min().unwrap_or(now),
    };
    let versions = keyspace.versions.iter().map(|it| it.created_at);
    let created = versions.min().unwrap_or(now);
    first.max(created).min(now)
}

fn grouped(live: &[Expiry], now: Timestamp) -> Vec<BucketsStatus> {
    let together = live.len().div_ceil(MOST_ENTRIES).max(1);
    let groups = live.chunks(together).filter_map(|buckets| {
        let last = buckets.last()?.instant();
        Some(BucketsStatus {
            expires_at: Rfc3339(last),
            seconds_left: since(now, last),
            count: buckets.len(),
        })
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_buckets_are_grouped_and_none_is_lost() {
        let now = Timestamp::from_millis(1_000_000);
        for count in [0, 1, 99, 100, 101, 1_999] {
            let live: Vec<_> = (1..=count)
                .map(|n| Expiry::from_seconds(1_000 + n))
                .collect();
            let groups = grouped(&live, now);
            assert!(groups.len() <= MOST_ENTRIES);
            let sum: usize = groups.iter().map(|it| it.count).sum();
            assert_eq!(sum as u64, count);
            assert_eq!(groups.last().map_or(0, |it| it.seconds_left), count);
            if count <= 100 {
                assert!(groups.iter().all(|it| it.count == 1));
            }
        }
    }
}
