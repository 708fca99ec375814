use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

/// Keys in one batch: a burst holds at least one of them.
const BATCH: u32 = 1_000;

/// `[limits]`: how much of the service one client, or all of them, may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Requests under way at once, of all clients with a grant; more are refused as `overloaded`.
    pub requests: usize,
    /// Bytes of bodies and of large answers under way at once, of all clients with a grant.
    pub body_bytes: usize,
    /// TLS handshakes that may be under way at once.
    pub handshakes: usize,
    /// Connections of clients without a grant, all together.
    pub strangers: usize,
    /// Refusals of one client, or of all strangers, that go on record one by one; the others are counted.
    pub refusals: QuotaSection,
    /// Data keys that one client may be issued; no limit if it is not given.
    pub issue: Option<QuotaSection>,
    /// Data keys that one client may unwrap; no limit if it is not given.
    pub unwrap: Option<QuotaSection>,
    /// Conversations that one client may shred; no limit if it is not given.
    pub shred: Option<QuotaSection>,
    /// Data keys that one client may rewrap.
    pub rewrap: Option<QuotaSection>,
    /// Calls of all other operations together that one client may make.
    pub calls: QuotaSection,
    /// Different conversations that one client may unwrap.
    pub conversations: Option<CeilingSection>,
}

/// A rate, and how much may be taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaSection {
    /// How many a second, on average.
    pub per_second: NonZeroU32,
    /// How many at once, after a pause.
    pub burst: NonZeroU32,
}

/// A limit to what a stolen client certificate can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeilingSection {
    /// Different conversations that a client may unwrap in a window.
    pub most: NonZeroU32,
    /// Length of the sliding window.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub window: Duration,
    /// Whether a client above the limit is refused until it is below. Otherwise it is only logged and
    /// counted.
    #[serde(default)]
    pub stop: bool,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            requests: 4_096,
            body_bytes: 64 << 20,
            handshakes: 4_096,
            strangers: 64,
            refusals: QuotaSection {
                per_second: NonZeroU32::MIN.saturating_add(9),
                burst: NonZeroU32::MIN.saturating_add(999),
            },
            issue: None,
            unwrap: None,
            shred: None,
            rewrap: None,
            calls: QuotaSection {
                per_second: NonZeroU32::MIN.saturating_add(99),
                burst: NonZeroU32::MIN.saturating_add(9_999),
            },
            conversations: None,
        }
    }
}

impl LimitsSection {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=1_000_000).contains(&self.requests) {
            return Err("limits.requests must be 1 to 1000000".into());
        }
        // A body of the largest size has to fit, with as much left for others.
        if !(4 << 20..=1 << 40).contains(&self.body_bytes) {
            return Err("limits.body_bytes must be 4194304 to 1099511627776".into());
        }
        for (option, count) in [
            ("handshakes", self.handshakes),
            ("strangers", self.strangers),
        ] {
            if !(2..=1_000_000).contains(&count) {
                return Err(format!("limits.{option} must be 2 to 1000000"));
            }
        }
        let quotas = [
            ("issue", self.issue),
            ("unwrap", self.unwrap),
            ("shred", self.shred),
            ("rewrap", self.rewrap),
        ];
        for (option, quota) in quotas {
            if quota.is_some_and(|quota| quota.burst.get() < BATCH) {
                return Err(format!(
                    "limits.{option}.burst must be at least {BATCH}, the size of a batch"
                ));
            }
        }
        let Some(ceiling) = self.conversations else {
            return Ok(());
        };
        if ceiling.most.get() > 10_000_000 {
            return Err(
                "limits.conversations.most must be 1 to 10000000: each takes memory".into(),
            );
        }
        let possible = Duration::from_secs(1)..=Duration::from_secs(31 * 86_400);
        if possible.contains(&ceiling.window) {
            Ok(())
        } else {
            Err("limits.conversations.window must be 1s to 31d".into())
        }
    }
}
