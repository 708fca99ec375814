//! Durations as users write them: `72h`, `30d`, `500ms`, one number and one unit.

use std::fmt;
use std::str::FromStr;

/// A length of time in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// The text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a whole number and a unit: ms, s, m, h or d")]
pub struct InvalidSpan;

/// Largest unit first: the text of a span uses the first that divides it.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Span {
    /// From whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds; saturates.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The text in the largest unit of which it is at least ten, which is easy to read.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let unit = UNITS.iter().find(|(_, millis)| self.0 / millis >= 10);
        let millis = unit.map_or(1, |(_, millis)| *millis);
        Self(self.0.div_ceil(millis).saturating_mul(millis))
    }

    /// Whole seconds, if it is a whole number of them.
    #[must_use]
    pub const fn whole_seconds(self) -> Option<u64> {
        if self.0.is_multiple_of(1_000) {
            Some(self.0 / 1_000)
        } else {
            None
        }
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, millis) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(InvalidSpan)?;
        let number: u64 = number.parse().map_err(|_| InvalidSpan)?;
        number.checked_mul(*millis).map(Self).ok_or(InvalidSpan)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, millis) in UNITS {
            // People write 72h, and 30d.
            let long_enough = name != "d" || self.0 >= 7 * millis;
            if self.0 != 0 && long_enough && self.0.is_multiple_of(millis) {
                return write!(f, "{}{name}", self.0 / millis);
            }
        }
        f.write_str("0s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_for_people_are_round_and_never_less() {
        for (seconds, text) in [
            (0, "0s"),
            (9, "9s"),
            (10, "10s"),
            (601, "11m"),
            (36_001, "11h"),
            (5_256_020, "61d"),
            (86_400 * 10, "10d"),
        ] {
            assert_eq!(Span::from_seconds(seconds).rounded_up().to_string(), text);
        }
        assert_eq!(Span::from_millis(9_500).rounded_up().to_string(), "9500ms");
        let most = Span::from_millis(u64::MAX);
        assert_eq!(most.rounded_up(), most);
    }

    #[test]
    fn reads_what_it_writes() {
        for text in ["72h", "24h", "30d", "500ms", "5m", "1s", "0s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), text);
        }
        assert_eq!(
            "1d".parse::<Span>().map(|span| span.to_string()),
            Ok("24h".into())
        );
        assert_eq!("72h".parse(), Ok(Span::from_seconds(259_200)));
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            "h",
            "1",
            "1.5h",
            "-1h",
            "1h30m",
            " 1h",
            "1 h",
            "1w",
            "99999999999999999999d",
            "213503982335d",
        ] {
            assert_eq!(bad.parse::<Span>(), Err(InvalidSpan), "{bad}");
        }
    }
}
