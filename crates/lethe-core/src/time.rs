//! Times as whole numbers since the Unix epoch. Nothing here reads a clock: [`crate::ports::Clock`]
//! does.

/// An instant, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time `millis` later. It saturates instead of wrapping.
    #[must_use]
    pub const fn saturating_add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// When a bucket and every key in it expire, in whole seconds since the Unix epoch. It identifies the
/// bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(u64);

impl Expiry {
    /// From whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// The instant itself; saturates far beyond any real date.
    #[must_use]
    pub const fn instant(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(1000))
    }

    /// At the instant of expiry a key is already expired.
    #[must_use]
    pub const fn has_passed(self, now: Timestamp) -> bool {
        now.0 >= self.instant().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_at_the_very_instant_and_not_before() {
        let expiry = Expiry::from_seconds(10);
        assert!(!expiry.has_passed(Timestamp::from_millis(9_999)));
        assert!(expiry.has_passed(Timestamp::from_millis(10_000)));
    }
}
