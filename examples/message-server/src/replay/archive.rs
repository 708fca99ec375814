//! What was stored, in order of time, and samples of it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::message::Position;

/// A stored message. Times are from the start of the replay.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its room.
    pub room: Arc<str>,
    /// Its place.
    pub position: Position,
    /// Hash of its text, to know it again.
    pub text: u64,
    /// When it was sent to the server.
    pub began: Duration,
    /// When the server had it on its disk.
    pub ended: Duration,
}

/// From when to when a room was being shredded.
#[derive(Debug, Clone, Copy)]
pub struct Shredding {
    /// When it was asked for.
    pub began: Duration,
    /// When it was irrevocable.
    pub ended: Duration,
}

/// All that was stored.
#[derive(Debug, Default)]
pub struct Archive {
    stored: RwLock<Vec<Stored>>,
    shredded: RwLock<HashMap<Arc<str>, Shredding>>,
}

impl Archive {
    /// Adds a message that was stored just now; `now` is asked in the order of additions.
    pub fn add(&self, mut message: Stored, now: impl FnOnce() -> Duration) {
        let mut stored = self.stored.write();
        message.ended = now();
        stored.push(message);
    }

    /// Remembers a shredded room.
    pub fn shredded(&self, room: Arc<str>, shredding: Shredding) {
        self.shredded.write().insert(room, shredding);
    }

    /// A room's shredding, if there was one.
    #[must_use]
    pub fn shredding(&self, room: &str) -> Option<Shredding> {
        self.shredded.read().get(room).copied()
    }

    /// At most `most` messages that were stored in `times`, picked evenly.
    #[must_use]
    pub fn sample(&self, times: Range<Duration>, most: usize, random: &mut Random) -> Vec<Stored> {
        let stored = self.stored.read();
        let index = |time| stored.partition_point(|message| message.ended < time);
        let (from, to) = (index(times.start), index(times.end));
        let picked = random.distinct(to.saturating_sub(from), most);
        picked
            .into_iter()
            .map(|offset| stored[from + offset].clone())
            .collect()
    }

    /// At most `most` messages that were stored in rooms before these were shredded.
    #[must_use]
    pub fn sample_shredded(&self, most: usize, random: &mut Random) -> Vec<Stored> {
        let shredded = self.shredded.read();
        if shredded.is_empty() {
            return Vec::new();
        }
        let stored = self.stored.read();
        let before = |message: &&Stored| {
            let shredding = shredded.get(&message.room);
            shredding.is_some_and(|shredding| message.ended <= shredding.began)
        };
        let all: Vec<_> = stored.iter().filter(before).collect();
        let picked = random.distinct(all.len(), most);
        picked.into_iter().map(|index| all[index].clone()).collect()
    }
}

/// A sequence that looks random and can be repeated: SplitMix64. Picks samples and invents
/// conversations, makes no secrets.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// `most` different numbers below `end`, or all of them (Floyd's way).
    fn distinct(&mut self, end: usize, most: usize) -> BTreeSet<usize> {
        if end <= most {
            return (0..end).collect();
        }
        let mut picked = BTreeSet::new();
        for last in end - most..end {
            let one = usize::try_from(self.below(last as u64 + 1)).unwrap_or(last);
            if !picked.insert(one) {
                picked.insert(last);
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(count: u64) -> Archive {
        let archive = Archive::default();
        for second in 0..count {
            let message = Stored {
                room: if second % 2 == 0 { "even" } else { "odd" }.into(),
                position: Position(second as i64 + 1),
                text: 0,
                began: Duration::from_secs(second),
                ended: Duration::ZERO,
            };
            archive.add(message, || Duration::from_secs(second));
        }
        archive
    }

    fn positions(sample: &[Stored]) -> Vec<i64> {
        sample.iter().map(|message| message.position.0).collect()
    }

    #[test]
    fn samples_stay_in_their_time_and_number() {
        let archive = archive(100);
        let times = Duration::from_secs(10)..Duration::from_secs(20);
        let all = archive.sample(times.clone(), 40, &mut Random::new(1));
        assert_eq!(positions(&all), (11..21).collect::<Vec<_>>());
        let mut random = Random::new(1);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let some = positions(&archive.sample(times.clone(), 3, &mut random));
            assert_eq!(some.len(), 3);
            seen.extend(some);
        }
        assert_eq!(seen, (11..21).collect());
    }

    #[test]
    fn shredded_samples_are_of_what_was_there_before() {
        let archive = archive(10);
        let random = &mut Random::new(1);
        assert!(archive.sample_shredded(40, random).is_empty());
        let at = Duration::from_secs(5);
        archive.shredded(
            "even".into(),
            Shredding {
                began: at,
                ended: at,
            },
        );
        assert_eq!(positions(&archive.sample_shredded(40, random)), [1, 3, 5]);
    }
}
