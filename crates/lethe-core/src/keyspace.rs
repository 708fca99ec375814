//! A keyspace's name and policy: how long its messages live.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::duration::Span;

/// `[a-z0-9][a-z0-9-]{0,62}`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceName(Box<str>);

/// A text that is no keyspace name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a keyspace name is 1 to 63 of a-z, 0-9 and -, not beginning with -")]
pub struct InvalidKeyspaceName;

impl KeyspaceName {
    /// The name.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyspaceName {
    type Err = InvalidKeyspaceName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyspaceName> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid =
            (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKeyspaceName)
        }
    }
}

impl fmt::Display for KeyspaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rotation step of a keyspace: 1 and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(u32);

impl KeyVersion {
    /// The version that a new keyspace starts with.
    pub const FIRST: Self = Self(1);

    /// None for 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Most buckets that one keyspace may have alive at once, whatever the HSM could hold.
pub const MAX_LIVE_BUCKETS: u64 = 10_000;

/// How long an HSM may be away before a keyspace of short granularity runs out of buckets.
const AHEAD_SECONDS: u64 = 30;

/// Key versions of a keyspace that may live at once.
pub const MAX_LIVE_VERSIONS: usize = 8;

/// With one version in use, and one that waits to be dropped.
const ROTATIONS_IN_A_LIFE: u64 = MAX_LIVE_VERSIONS as u64 - 2;

/// Shorter retentions that a keyspace may offer beside its own.
pub const MAX_SHORTER_RETENTIONS: usize = 8;

/// Longest retention and rotation, 100 years in seconds: keeps all bucket arithmetic far from overflow.
const LONGEST_SECONDS: u64 = 100 * 366 * 86_400;

/// How long the messages of one data key live at least: the keyspace's own retention, or a shorter
/// one that it offers. Only a [`Policy`] makes one, so no caller can stretch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retention(u64);

impl Retention {
    /// In seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }
}

/// A keyspace's settings, valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    retention_seconds: u64,
    /// Ascending, without repetition; 0 where there is none.
    shorter_seconds: [u64; MAX_SHORTER_RETENTIONS],
    granularity_seconds: u64,
    rotation: Span,
    cache_ttl: Span,
}

/// Why settings are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// A time span is zero, has a fraction of a second, or is over 100 years.
    #[error("{0} must be whole seconds, at least 1s and at most 36600d")]
    OutOfRange(&'static str),
    /// The cache TTL is over 100 years.
    #[error("cache_ttl must be at most 36600d")]
    CacheTtl,
    /// Messages would live more than twice as long as asked.
    #[error("granularity must not be larger than retention")]
    GranularityOverRetention,
    /// One of `retentions` is not shorter than the retention.
    #[error("retentions must be shorter than retention, and each may stand there once")]
    NotShorter,
    /// There are too many `retentions`: each of them needs buckets of its own.
    #[error("retentions has at most {MAX_SHORTER_RETENTIONS} entries")]
    TooManyRetentions,
    /// Old versions live until their last bucket, so too many would live at once.
    #[error(
        "rotation must be at least {} for this retention and granularity: at most 8 key versions may live at once",
        Span::from_seconds(*least_seconds).rounded_up()
    )]
    RotationTooShort {
        /// The shortest span that is possible, in seconds.
        least_seconds: u64,
    },
    /// The policy needs too many live buckets: each takes a key in the HSM.
    #[error("retention / granularity needs {needed} live buckets, at most {limit} are possible")]
    TooManyBuckets {
        /// Number of live buckets that the policy needs.
        needed: u64,
        /// The largest number that is possible.
        limit: u64,
    },
}

impl Policy {
    /// Checks settings.
    ///
    /// # Errors
    /// The first rule of [`InvalidPolicy`] that they break.
    pub fn new(
        retention: Span,
        granularity: Span,
        rotation: Span,
        cache_ttl: Span,
    ) -> Result<Self, InvalidPolicy> {
        let retention_seconds = seconds("retention", retention)?;
        let granularity_seconds = seconds("granularity", granularity)?;
        seconds("rotation", rotation)?;
        if cache_ttl.as_millis() > LONGEST_SECONDS * 1_000 {
            return Err(InvalidPolicy::CacheTtl);
        }
        if granularity_seconds > retention_seconds {
            return Err(InvalidPolicy::GranularityOverRetention);
        }
        let policy = Self {
            retention_seconds,
            shorter_seconds: [0; MAX_SHORTER_RETENTIONS],
            granularity_seconds,
            rotation,
            cache_ttl,
        };
        let least_seconds = policy.longest_life_seconds().div_ceil(ROTATIONS_IN_A_LIFE);
        if rotation.as_millis() / 1_000 < least_seconds {
            return Err(InvalidPolicy::RotationTooShort { least_seconds });
        }
        policy.fits()
    }

    /// The same, with shorter retentions that an issue may choose.
    ///
    /// # Errors
    /// The first rule of [`InvalidPolicy`] that they break.
    pub fn with_shorter_retentions(mut self, shorter: &[Span]) -> Result<Self, InvalidPolicy> {
        if shorter.len() > MAX_SHORTER_RETENTIONS {
            return Err(InvalidPolicy::TooManyRetentions);
        }
        let all: BTreeSet<u64> = shorter
            .iter()
            .map(|span| seconds("retentions", *span))
            .collect::<Result<_, _>>()?;
        if all.len() < shorter.len() || all.last() >= Some(&self.retention_seconds) {
            return Err(InvalidPolicy::NotShorter);
        }
        if all.first().is_some_and(|it| *it < self.granularity_seconds) {
            return Err(InvalidPolicy::GranularityOverRetention);
        }
        self.shorter_seconds = [0; MAX_SHORTER_RETENTIONS];
        for (place, seconds) in self.shorter_seconds.iter_mut().zip(all) {
            *place = seconds;
        }
        self.fits()
    }

    fn fits(self) -> Result<Self, InvalidPolicy> {
        let needed = self.live_buckets();
        if needed > MAX_LIVE_BUCKETS {
            return Err(InvalidPolicy::TooManyBuckets {
                needed,
                limit: MAX_LIVE_BUCKETS,
            });
        }
        Ok(self)
    }

    /// The keyspace's own retention, which is the longest.
    #[must_use]
    pub const fn retention(&self) -> Retention {
        Retention(self.retention_seconds)
    }

    /// The shorter ones that an issue may choose, ascending.
    pub fn shorter_retentions(&self) -> impl Iterator<Item = Retention> {
        let offered = self.shorter_seconds.into_iter().filter(|it| *it > 0);
        offered.map(Retention)
    }

    /// All that an issue may get, ascending.
    pub fn retentions(&self) -> impl Iterator<Item = Retention> {
        self.shorter_retentions().chain([self.retention()])
    }

    /// One of [`Self::retentions`].
    #[must_use]
    pub fn choose(&self, retention: Span) -> Option<Retention> {
        let seconds = retention.whole_seconds()?;
        self.retentions().find(|it| it.as_seconds() == seconds)
    }

    /// How long a message lives at least, in seconds, unless its key was issued for less.
    #[must_use]
    pub const fn retention_seconds(&self) -> u64 {
        self.retention_seconds
    }

    /// Width of a bucket, in seconds.
    #[must_use]
    pub const fn granularity_seconds(&self) -> u64 {
        self.granularity_seconds
    }

    /// Age at which a key version is replaced.
    #[must_use]
    pub const fn rotation(&self) -> Span {
        self.rotation
    }

    /// How long a client may keep a plaintext data key.
    #[must_use]
    pub const fn cache_ttl(&self) -> Span {
        self.cache_ttl
    }

    /// How long a key lives at most: one border is passed over when it is near.
    #[must_use]
    pub const fn longest_life_seconds(&self) -> u64 {
        self.retention_seconds + 2 * self.granularity_seconds
    }

    /// Most buckets alive at once: those of the retention, the one in use, those ahead. Retentions
    /// that differ by whole granularities share their buckets; others have buckets of their own.
    #[must_use]
    pub fn live_buckets(&self) -> u64 {
        // Ascending: the longest of those that share stays.
        let longest: BTreeMap<u64, u64> = self
            .retentions()
            .map(|it| (it.0 % self.granularity_seconds, it.0))
            .collect();
        let of_one = |seconds: &u64| seconds.div_ceil(self.granularity_seconds) + 1;
        let buckets = longest.values().map(|it| of_one(it) + self.buckets_ahead());
        buckets.sum()
    }

    /// Buckets made ahead of need: one, or as many as take half a minute to use up.
    #[must_use]
    pub const fn buckets_ahead(&self) -> u64 {
        AHEAD_SECONDS.div_ceil(self.granularity_seconds)
    }
}

fn seconds(name: &'static str, span: Span) -> Result<u64, InvalidPolicy> {
    span.whole_seconds()
        .filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds))
        .ok_or(InvalidPolicy::OutOfRange(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(retention: &str, granularity: &str) -> Result<Policy, InvalidPolicy> {
        let span = |text: &str| text.parse().unwrap();
        Policy::new(span(retention), span(granularity), span("30d"), span("5m"))
    }

    #[test]
    fn refusals() {
        assert_eq!(
            policy("0s", "1h"),
            Err(InvalidPolicy::OutOfRange("retention"))
        );
        assert_eq!(
            policy("1500ms", "1s"),
            Err(InvalidPolicy::OutOfRange("retention"))
        );
        assert_eq!(
            policy("1h", "2h"),
            Err(InvalidPolicy::GranularityOverRetention)
        );
        assert_eq!(
            policy("99969s", "1s"),
            Err(InvalidPolicy::TooManyBuckets {
                needed: 100_000,
                limit: 10_000
            })
        );
        assert_eq!(policy("72h", "1h").unwrap().live_buckets(), 74);
    }

    #[test]
    fn old_versions_must_not_pile_up() {
        let span = |text: &str| text.parse().unwrap();
        let with = |rotation| Policy::new(span("58s"), span("1s"), span(rotation), span("1s"));
        assert!(with("10s").is_ok());
        assert_eq!(
            with("9s"),
            Err(InvalidPolicy::RotationTooShort { least_seconds: 10 })
        );
    }

    #[test]
    fn shorter_retentions_are_shorter_and_bounded() {
        let with = |texts: &[&str]| {
            let spans: Vec<Span> = texts.iter().map(|text| text.parse().unwrap()).collect();
            policy("72h", "1h")?.with_shorter_retentions(&spans)
        };
        let offered = with(&["6h", "1h", "5401s"]).unwrap();
        let seconds: Vec<u64> = offered.retentions().map(Retention::as_seconds).collect();
        assert_eq!(seconds, [3_600, 5_401, 21_600, 259_200]);
        // 74 for what shares the full hours, ceil(1.5) + 2 for what does not.
        assert_eq!(offered.live_buckets(), 74 + 4);
        let choose = |text: &str| offered.choose(text.parse().unwrap());
        assert_eq!(choose("360m").map(Retention::as_seconds), Some(21_600));
        assert_eq!(choose("72h"), Some(offered.retention()));
        for other in ["2h", "73h", "500ms", "0s"] {
            assert_eq!(choose(other), None, "{other}");
        }
        for not_shorter in [&["72h"][..], &["73h"], &["1h", "60m"]] {
            assert_eq!(with(not_shorter), Err(InvalidPolicy::NotShorter));
        }
        assert_eq!(with(&["59m"]), Err(InvalidPolicy::GranularityOverRetention));
        assert_eq!(
            with(&["90500ms"]),
            Err(InvalidPolicy::OutOfRange("retentions"))
        );
        let hours: Vec<String> = (1..=9).map(|hours| format!("{hours}h")).collect();
        let hours: Vec<&str> = hours.iter().map(String::as_str).collect();
        assert_eq!(with(&hours), Err(InvalidPolicy::TooManyRetentions));
        assert!(with(&hours[1..]).is_ok());
        // Each of these has buckets of its own.
        let span = |text: &str| text.parse::<Span>().unwrap();
        let most = Policy::new(span("9000m"), span("1m"), span("30d"), span("5m")).unwrap();
        assert_eq!(
            most.with_shorter_retentions(&[span("60001s")]),
            Err(InvalidPolicy::TooManyBuckets {
                needed: 9_002 + 1_003,
                limit: 10_000
            })
        );
    }

    #[test]
    fn names() {
        for good in ["a", "0", "chat-2", &"a".repeat(63)] {
            assert!(good.parse::<KeyspaceName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a/b", "é", &"a".repeat(64)] {
            assert!(bad.parse::<KeyspaceName>().is_err(), "{bad}");
        }
    }
}
