//! What a clock is believed, and what not.

use std::time::Duration;

use crate::time::{Expiry, Timestamp};

/// Where the clock stood, as the store remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Highest time ever written; none before the first.
    pub high_water: Option<Timestamp>,
    /// By how much the steady time is ahead of the wall clock, as it was confirmed.
    pub lag: Duration,
}

/// A confirmed clock, to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// The steady time from now on.
    pub time: Timestamp,
    /// By how much it is ahead of the wall clock.
    pub lag: Duration,
}

/// How the wall clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Ahead of all that ran.
    Ahead,
    /// Back, under a running service: the time since boot still tells the time.
    Behind,
    /// Behind the stored mark at the start: nobody knows how long the service was down.
    BehindAtStart,
}

impl Doubt {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Behind | Self::BehindAtStart => "behind",
        }
    }

    pub(super) const fn is_behind(self) -> bool {
        matches!(self, Self::Behind | Self::BehindAtStart)
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Ahead => 1,
            Self::Behind => 2,
            Self::BehindAtStart => 3,
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Ahead),
            2 => Some(Self::Behind),
            3 => Some(Self::BehindAtStart),
            _ => None,
        }
    }
}

/// One look at the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The steady time: at least so late it is.
    pub now: Timestamp,
    /// What the wall clock says, with the lead that was confirmed.
    pub wall: Timestamp,
    /// Why the steady time may be too early.
    pub doubt: Option<Doubt>,
}

/// Whether a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It has not expired.
    Lives,
    /// It has expired, whatever the wall clock says.
    Expired,
    /// Only who knows the time can tell.
    Suspect,
}

impl Reading {
    /// Whether a key of this expiry opens.
    #[must_use]
    pub fn judge(&self, expiry: Expiry) -> Judgement {
        if expiry.has_passed(self.now) {
            return Judgement::Expired;
        }
        match self.doubt {
            Some(Doubt::Ahead) if expiry.has_passed(self.wall) => Judgement::Suspect,
            Some(Doubt::BehindAtStart) => Judgement::Suspect,
            _ => Judgement::Lives,
        }
    }
}
