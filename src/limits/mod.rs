//! How much one client may ask for: quotas, and a ceiling on different conversations.

mod ceiling;

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use lethe_core::identity::KeyspaceId;
use lethe_core::time::Timestamp;

use crate::config::{LimitsSection, QuotaSection};
use crate::identity::SpiffeId;
use crate::observability::metrics::Metrics;

use ceiling::{Ceilings, Standing};

type Limiter = RateLimiter<SpiffeId, DefaultKeyedStateStore<SpiffeId>, DefaultClock>;

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data keys that are issued.
    Issue,
    /// Data keys that are unwrapped.
    Unwrap,
    /// Conversations that are shredded.
    Shred,
    /// Data keys that are rewrapped.
    Rewrap,
    /// Calls of every other operation. Each has an audit record, so they fill the disk of the audit log.
    Call,
}

/// A client has taken what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Keys or calls; there is room for as many in so long.
    Quota(Duration),
    /// Too many different conversations. The window has room again after this time.
    Conversations(Duration),
}

/// See the module.
pub struct Limits {
    issue: Option<Limiter>,
    unwrap: Option<Limiter>,
    shred: Option<Limiter>,
    rewrap: Option<Limiter>,
    calls: Option<Limiter>,
    clock: DefaultClock,
    ceilings: Option<Ceilings>,
    metrics: Metrics,
}

fn limiter(quota: QuotaSection) -> Limiter {
    RateLimiter::keyed(Quota::per_second(quota.per_second).allow_burst(quota.burst))
}

impl Limits {
    /// As configured.
    #[must_use]
    pub fn new(section: &LimitsSection, metrics: Metrics) -> Self {
        Self {
            issue: section.issue.map(limiter),
            unwrap: section.unwrap.map(limiter),
            shred: section.shred.map(limiter),
            rewrap: section.rewrap.map(limiter),
            calls: Some(limiter(section.calls)),
            clock: DefaultClock::default(),
            ceilings: section.conversations.map(Ceilings::new),
            metrics,
        }
    }

    /// Takes `count` keys, or calls, off a client's quota. Counted when asked for, whether or not they are
    /// given: guesses cost as much.
    ///
    /// # Errors
    /// [`Exceeded`]; nothing was taken then.
    pub fn take(
        &self,
        client: &SpiffeId,
        kind: Kind,
        count: usize,
        now: Timestamp,
    ) -> Result<(), Exceeded> {
        if kind != Kind::Call
            && let Some(ceilings) = &self.ceilings
            && let Some(left) = ceilings.stopped(client, now)
        {
            return Err(Exceeded::Conversations(left));
        }
        let limiter = match kind {
            Kind::Issue => &self.issue,
            Kind::Unwrap => &self.unwrap,
            Kind::Shred => &self.shred,
            Kind::Rewrap => &self.rewrap,
            Kind::Call => &self.calls,
        };
        // A batch without items is a call with a record like any other.
        let count = u32::try_from(count.max(1)).ok().and_then(NonZeroU32::new);
        let (Some(limiter), Some(count)) = (limiter, count) else {
            return Ok(());
        };
        match limiter.check_key_n(client, count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(Exceeded::Quota(until.wait_time_from(self.clock.now()))),
            // A burst holds a batch: the configuration was checked.
            Err(_) => Err(Exceeded::Quota(Duration::from_secs(1))),
        }
    }

    /// Counts the different conversations that a client unwraps.
    ///
    /// # Errors
    /// [`Exceeded::Conversations`], where that stops a client.
    pub fn unwrap<'a>(
        &self,
        client: &SpiffeId,
        keyspace: KeyspaceId,
        conversations: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<(), Exceeded> {
        let Some(ceilings) = &self.ceilings else {
            return Ok(());
        };
        match ceilings.unwrap(client, keyspace, conversations, now) {
            Standing::Below => return Ok(()),
            Standing::Reached => {
                self.metrics.ceilings_reached.inc();
                let stops = ceilings.stops();
                tracing::warn!(%client, stops, "unwraps more different conversations than the ceiling allows");
            }
            Standing::Above => {}
        }
        match ceilings.stopped(client, now) {
            Some(left) => Err(Exceeded::Conversations(left)),
            None => Ok(()),
        }
    }

    /// Whether unwrapped conversations are counted.
    #[must_use]
    pub const fn counts_conversations(&self) -> bool {
        self.ceilings.is_some()
    }

    /// Updates the metrics of the limits.
    pub fn show(&self, now: Timestamp) {
        let above = self.ceilings.as_ref().map_or(0, |it| it.above(now));
        self.metrics.clients_above_ceiling.set(above as i64);
    }

    /// Forgets clients that have called nothing for long. It is called from time to time.
    pub fn tidy(&self, now: Timestamp) {
        self.show(now);
        let data_keys = [&self.issue, &self.unwrap, &self.rewrap];
        let others = [&self.shred, &self.calls];
        for limiter in data_keys.into_iter().chain(others).flatten() {
            limiter.retain_recent();
        }
    }
}
