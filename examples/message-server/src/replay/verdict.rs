//! What must open, what must not, and whether it was so.

use std::time::Duration;

use super::archive::{Shredding, Stored};

/// How long a message lives, from the moment it was sealed.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Up to here it opens.
    pub least: Duration,
    /// From here on it does not.
    pub most: Duration,
}

/// What the promises say of one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Within its retention.
    Opens,
    /// Its key may or may not have ended: nothing is promised.
    Either,
    /// Its retention, and the width of its bucket, are over.
    Expired,
    /// Its room was shredded before it was asked for.
    Shredded,
}

/// A reading: when it was asked and answered, from the start of the replay.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When the server was asked.
    pub asked: Duration,
    /// When it had answered.
    pub answered: Duration,
}

/// The message was sealed at some instant from `began` to `ended`, and opened at one from `asked`
/// to `answered`: only what holds for all of them is expected.
#[must_use]
pub fn expected(
    lifetime: Lifetime,
    message: &Stored,
    shredding: Option<Shredding>,
    reading: Reading,
) -> Expected {
    if let Some(shredding) = shredding.filter(|shredding| message.began < shredding.ended) {
        let before = message.ended <= shredding.began;
        if before && reading.asked >= shredding.ended {
            return Expected::Shredded;
        }
        if !before || reading.answered > shredding.began {
            return Expected::Either;
        }
    }
    if reading.asked > message.ended + lifetime.most {
        Expected::Expired
    } else if reading.answered < message.began + lifetime.least {
        Expected::Opens
    } else {
        Expected::Either
    }
}

/// How many were read and how many of them opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Read.
    pub read: usize,
    /// Opened.
    pub opened: usize,
}

impl Count {
    /// Adds one reading.
    pub fn add(&mut self, opened: bool) {
        self.read += 1;
        self.opened += usize::from(opened);
    }
}

/// All readings of a replay.
#[derive(Debug, Default)]
pub struct Tally {
    /// Within the retention: all must open.
    pub living: Count,
    /// Around the end: no promise.
    pub ending: Count,
    /// Behind the end: none may open.
    pub expired: Count,
    /// Of shredded rooms: none may open.
    pub shredded: Count,
    /// Readings that failed, or gave another text.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Adds one reading.
    pub fn add(&mut self, expected: Expected, opened: bool) {
        let count = match expected {
            Expected::Opens => &mut self.living,
            Expected::Either => &mut self.ending,
            Expected::Expired => &mut self.expired,
            Expected::Shredded => &mut self.shredded,
        };
        count.add(opened);
    }

    /// The promises that were broken, in words; a replay that checked nothing broke one too.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let lost = self.living.read - self.living.opened;
        if lost > 0 {
            broken.push(format!(
                "{lost} messages within their retention did not open"
            ));
        }
        for (what, count) in [
            ("expired messages", self.expired),
            ("messages of shredded rooms", self.shredded),
        ] {
            if count.opened > 0 {
                broken.push(format!("{} {what} opened", count.opened));
            }
        }
        if self.living.read == 0 || self.expired.read == 0 {
            broken.push("nothing living or nothing expired was read".into());
        }
        broken.extend(self.wrong.iter().cloned());
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Position;

    const LIFETIME: Lifetime = Lifetime {
        least: Duration::from_secs(6),
        most: Duration::from_secs(8),
    };

    /// Sealed from second 10 to 11.
    fn judged(asked: u64, answered: u64, shredding: Option<(u64, u64)>) -> Expected {
        let seconds = Duration::from_secs;
        let message = Stored {
            room: "r".into(),
            position: Position(1),
            text: 0,
            began: seconds(10),
            ended: seconds(11),
        };
        let shredding = shredding.map(|(began, ended)| Shredding {
            began: seconds(began),
            ended: seconds(ended),
        });
        let reading = Reading {
            asked: seconds(asked),
            answered: seconds(answered),
        };
        expected(LIFETIME, &message, shredding, reading)
    }

    #[test]
    fn only_what_is_certain_is_expected() {
        assert_eq!(judged(11, 15, None), Expected::Opens);
        assert_eq!(judged(11, 16, None), Expected::Either);
        assert_eq!(judged(19, 19, None), Expected::Either);
        assert_eq!(judged(20, 20, None), Expected::Expired);
    }

    #[test]
    fn a_shredding_counts_for_what_was_there_before() {
        assert_eq!(judged(13, 14, Some((12, 13))), Expected::Shredded);
        assert_eq!(judged(12, 14, Some((12, 13))), Expected::Either);
        assert_eq!(judged(11, 12, Some((12, 13))), Expected::Opens);
        assert_eq!(judged(14, 15, Some((10, 13))), Expected::Either);
        assert_eq!(judged(14, 15, Some((8, 10))), Expected::Opens);
    }

    #[test]
    fn every_broken_promise_is_told() {
        let mut tally = Tally::default();
        assert_eq!(tally.broken().len(), 1, "nothing was checked");
        tally.add(Expected::Opens, true);
        tally.add(Expected::Expired, false);
        tally.add(Expected::Shredded, false);
        tally.add(Expected::Either, true);
        assert!(tally.broken().is_empty());
        tally.add(Expected::Opens, false);
        tally.add(Expected::Expired, true);
        tally.add(Expected::Shredded, true);
        tally.wrong.push("another text".into());
        assert_eq!(tally.broken().len(), 4);
    }
}
