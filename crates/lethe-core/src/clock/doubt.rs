//! Doubts about the wall clock, and what they mean for keys.

use std::time::Duration;

use crate::ports::BootId;
use crate::time::{Expiry, Timestamp};

/// The state of the clock, as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The highest time that was ever written; none before the first.
    pub high_water: Option<Timestamp>,
    /// By how much the steady time is ahead of the wall clock, as an operator confirmed it.
    pub lag: Duration,
    /// The time since boot when the mark was written. On the same boot it shows how long the service
    /// was down.
    pub boot: Option<BootPoint>,
    /// By how much the wall clock had gained on the time since boot, on that boot, since the last
    /// confirmation.
    pub gained: Duration,
}

/// A moment on one boot of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootPoint {
    /// The id of the boot.
    pub id: BootId,
    /// The time since that boot.
    pub since_boot: Duration,
}

/// How far the wall clock is believed without a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// The largest gap to the last known time at which the wall clock is believed without a
    /// confirmation.
    pub max_gap: Duration,
    /// Whether a confirmation is needed after each stop whose length is not known: after another boot
    /// of the machine, or on another machine.
    pub confirm_after_reboot: bool,
}

/// A confirmed clock, to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// The steady time at the confirmation.
    pub time: Timestamp,
    /// By how much the steady time is ahead of the wall clock.
    pub lag: Duration,
}

/// How the wall clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The wall clock is ahead of all other measures of time.
    Ahead,
    /// The wall clock went back while the service ran. The time since boot still gives the time.
    Behind,
    /// At the start the wall clock was behind the stored mark, so it is not known how long the service
    /// was down.
    BehindAtStart,
    /// The machine was booted again, and the configuration requires a confirmation then.
    Rebooted,
}

impl Doubt {
    /// The name in the API, in metrics and in logs.
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

    /// Whether the doubt is of the start: nobody knows how long the service was down until an operator
    /// confirms the time.
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

/// What all clocks showed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The steady time. The true time is this or later.
    pub now: Timestamp,
    /// The time of the wall clock, with the lead that was confirmed.
    pub wall: Timestamp,
    /// Why the steady time may be too early.
    pub doubt: Option<Doubt>,
}

/// Whether a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The key has not expired.
    Lives,
    /// The key has expired, whatever the wall clock says.
    Expired,
    /// The clock is in doubt, so it is not known whether the key has expired.
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
