//! Which settings of a keyspace need an approval.

use lethe_core::approval::Action;
use lethe_core::keyring::LiveKeyspace;
use lethe_core::keyspace::{KeyVersion, Policy};

use super::Permissions;

/// Whether settings need an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsCheck {
    /// They need none.
    Allowed,
    /// A second operator has to approve this action.
    NeedsApproval(Action),
    /// The minimum version needs an approval and has to be set in a call of its own.
    SetAlone,
    /// The minimum version may not be lowered, because approvals are off.
    Refused,
}

impl Permissions {
    /// Whether these settings need an approval. A higher minimum version makes keys of older versions
    /// unreadable at once, and a lower one makes them readable again. Other settings need an approval if
    /// keys or their leases live longer under them.
    #[must_use]
    pub fn check_settings(
        &self,
        present: &LiveKeyspace,
        policy: Policy,
        minimum: KeyVersion,
    ) -> SettingsCheck {
        let lowered = minimum < present.minimum_version;
        if lowered && !self.required {
            return SettingsCheck::Refused;
        }
        if lowered || self.minimum_version && minimum > present.minimum_version {
            return match policy == present.policy {
                true => SettingsCheck::NeedsApproval(Action::SetMinimum(minimum)),
                false => SettingsCheck::SetAlone,
            };
        }
        if self.required && lengthens(&present.policy, &policy) {
            let from = present.policy;
            return SettingsCheck::NeedsApproval(Action::SetPolicy { from, to: policy });
        }
        SettingsCheck::Allowed
    }
}

/// Whether keys or their leases live longer under the new settings.
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
    fn longer_retention_granularity_or_lease_lengthens() {
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
