//! What a clock is believed, and what not.

use std::time::Duration;

use crate::ports::BootId;
use crate::time::{Expiry, Timestamp};

/// Where the clock stood, as the store remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Highest time ever written; none before the first.
    pub high_water: Option<Timestamp>,
    /// By how much the steady time is ahead of the wall clock, as it was confirmed.
    pub lag: Duration,
    /// What the time since boot was then: on the same boot it tells how long the service was down.
    pub boot: Option<BootPoint>,
    /// By how much the wall clock had gained on the time since boot, on that boot, since the last
    /// confirmation.
    pub gained: Duration,
}

/// A moment on one boot of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootPoint {
    /// Which boot.
    pub id: BootId,
    /// The time since it.
    pub since_boot: Duration,
}

/// How far a wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// One that is further away needs a confirmation.
    pub max_gap: Duration,
    /// Whether it needs one after each stop whose length nobody can tell: over another boot of the
    /// machine, or on another machine.
    pub confirm_after_reboot: bool,
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
    /// The machine was booted anew, and the configuration wants somebody to look then.
    Rebooted,
}

impl Doubt {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Behind | Self::BehindAtStart => "behind",
            Self::Rebooted => "rebooted",
        }
    }

    pub(super) const fn is_behind(self) -> bool {
        matches!(self, Self::Behind | Self::BehindAtStart)
    }

    /// How long the service was down is not known until somebody confirms the time.
    pub(super) const fn is_of_start(self) -> bool {
        matches!(self, Self::BehindAtStart | Self::Rebooted)
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Ahead => 1,
            Self::Behind => 2,
            Self::BehindAtStart => 3,
            Self::Rebooted => 4,
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Ahead),
            2 => Some(Self::Behind),
            3 => Some(Self::BehindAtStart),
            4 => Some(Self::Rebooted),
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
            Some(Doubt::BehindAtStart | Doubt::Rebooted) => Judgement::Suspect,
            _ => Judgement::Lives,
        }
    }
}
