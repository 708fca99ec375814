//! Settings of a keyspace that wait for a second operator.

use lethe_core::approval::Action;
use lethe_core::keyring::LiveKeyspace;
use lethe_core::keyspace::{KeyVersion, Policy};

use super::Approvals;

/// What a second operator has to say of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// Nothing.
    Nothing,
    /// He has to approve this.
    Approval(Action),
    /// The smallest version waits, and the rest of the call must not.
    SetAlone,
    /// Nobody may do it, where no second operator is asked.
    Refused,
}

impl Approvals {
    /// Whether these settings wait. A raised smallest version makes what older versions sealed
    /// unreadable at once, and a lowered one makes it readable again; other settings wait where keys,
    /// or leases of them, live longer.
    #[must_use]
    pub fn needed(&self, present: &LiveKeyspace, policy: Policy, minimum: KeyVersion) -> Needed {
        let lowered = minimum < present.minimum_version;
        if lowered && !self.required {
            return Needed::Refused;
        }
        if lowered || self.minimum_version && minimum > present.minimum_version {
            return match policy == present.policy {
                true => Needed::Approval(Action::SetMinimum(minimum)),
                false => Needed::SetAlone,
            };
        }
        if self.required && lengthens(&present.policy, &policy) {
            let from = present.policy;
            return Needed::Approval(Action::SetPolicy { from, to: policy });
        }
        Needed::Nothing
    }
}

/// Whether anything lives longer under the new settings.
#[must_use]
pub fn lengthens(before: &Policy, after: &Policy) -> bool {
    after.retention_seconds() > before.retention_seconds()
        || after.longest_life_seconds() > before.longest_life_seconds()
        || after.cache_ttl() > before.cache_ttl()
}

#[cfg(test)]
mod tests {
    use lethe_core::duration::Span;

    use super::*;

    fn policy(retention: u64, granularity: u64, rotation: u64, cache_ttl: u64) -> Policy {
        Policy::new(
            Span::from_seconds(retention * 3_600),
            Span::from_seconds(granularity * 60),
            Span::from_seconds(rotation * 86_400),
            Span::from_seconds(cache_ttl),
        )
        .unwrap()
    }

    #[test]
    fn whatever_lets_anything_live_longer_is_longer() {
        let before = policy(72, 60, 30, 300);
        for longer in [
            policy(73, 60, 30, 300),
            policy(72, 120, 30, 300),
            policy(71, 180, 30, 300),
            policy(73, 30, 30, 300),
            policy(1, 1, 1, 301),
        ] {
            assert!(lengthens(&before, &longer), "{longer:?}");
        }
        for other in [
            before,
            policy(71, 60, 30, 300),
            policy(72, 30, 60, 299),
            policy(70, 120, 30, 300),
        ] {
            assert!(!lengthens(&before, &other), "{other:?}");
        }
    }
}
