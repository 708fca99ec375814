use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::identity::{ClaimNonce, StoreId};
use crate::ports::Seat;

/// Where a store is, as far as a process can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The kernel's boot, which all containers on it share; none where it does not say.
    pub boot: Option<String>,
    /// Device and number of the database file.
    pub file: (u64, u64),
    /// Its absolute path.
    pub path: String,
}

impl Place {
    /// Whether both are the same file under the same kernel: who has locked one has locked the other.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.boot.is_some() && self.boot == other.boot && self.file == other.file
    }
}

/// Whether a store is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody serves it, or was not stopped in order.
    Held,
    /// Somebody has taken it from who may serve for a while yet, and does not serve himself.
    Taken,
    /// The last to serve it was stopped in order.
    Free,
}

impl State {
    const ALL: [Self; 3] = [Self::Held, Self::Taken, Self::Free];

    const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Taken => "taken",
            Self::Free => "free",
        }
    }
}

/// What the claim in the HSM says.
///
/// Text: `sqlite:<store id>:<nonce>:<held|taken|free>:<seconds|->:<boot|->:<device>.<file>:<path>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Drawn with the store; copies share it.
    pub store: StoreId,
    /// Drawn at each start and stop.
    pub nonce: ClaimNonce,
    /// Whether somebody serves it.
    pub state: State,
    /// How long the holder serves without seeing the HSM; none: for ever.
    pub max_outage: Option<Duration>,
    /// Where it was taken.
    pub place: Place,
}

impl Claim {
    /// Whether a store's seat has the nonce of this claim, or was about to take it.
    #[must_use]
    pub fn is_of(&self, seat: &Seat) -> bool {
        let level = seat.nonce == self.nonce || seat.next == Some(self.nonce);
        level && seat.store == self.store
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            store,
            nonce,
            state,
            max_outage,
            place: Place { boot, file, path },
        } = self;
        let state = state.name();
        let outage = max_outage.map_or("-".to_owned(), |it| it.as_secs().to_string());
        let boot = boot.as_deref().unwrap_or("-");
        let (device, number) = file;
        write!(
            f,
            "sqlite:{store}:{nonce}:{state}:{outage}:{boot}:{device}.{number}:{path}"
        )
    }
}

/// A text that no release since this form wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAClaim;

impl FromStr for Claim {
    type Err = NotAClaim;

    fn from_str(text: &str) -> Result<Self, NotAClaim> {
        let parts: Vec<&str> = text.splitn(8, ':').collect();
        let ["sqlite", store, nonce, state, outage, boot, file, path] = parts[..] else {
            return Err(NotAClaim);
        };
        let (device, number) = file.split_once('.').ok_or(NotAClaim)?;
        let number_of = |text: &str| text.parse().map_err(|_| NotAClaim);
        let given = |text: &'_ str| (text != "-").then(|| text.to_owned());
        let outage = given(outage).map(|text| number_of(&text)).transpose()?;
        let claim = Self {
            store: store.parse().map_err(|_| NotAClaim)?,
            nonce: nonce.parse().map_err(|_| NotAClaim)?,
            state: State::ALL
                .into_iter()
                .find(|it| it.name() == state)
                .ok_or(NotAClaim)?,
            max_outage: outage.map(Duration::from_secs),
            place: Place {
                boot: given(boot),
                file: (number_of(device)?, number_of(number)?),
                path: path.to_owned(),
            },
        };
        // One spelling.
        if claim.to_string() == text {
            Ok(claim)
        } else {
            Err(NotAClaim)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            store: StoreId::from_bytes([1; 16]),
            nonce: ClaimNonce::from_bytes([2; 16]),
            state: State::Held,
            max_outage: None,
            place: Place {
                boot: Some("b".repeat(32)),
                file: (8, 123),
                path: "/a:b/lethe.db".into(),
            },
        }
    }

    #[test]
    fn the_text_has_one_spelling() {
        let bounded = Claim {
            state: State::Free,
            max_outage: Some(Duration::from_secs(30)),
            place: Place {
                boot: None,
                ..claim().place
            },
            ..claim()
        };
        for claim in [claim(), bounded] {
            assert_eq!(claim.to_string().parse(), Ok(claim));
        }
        let text = claim().to_string();
        for bad in [
            String::new(),
            "sqlite:machine:/a/lethe.db".into(),
            text.replace(":8.", ":08."),
            text.replace("held", "kept"),
            text.replace("sqlite", "postgres"),
        ] {
            assert_eq!(bad.parse::<Claim>(), Err(NotAClaim), "{bad}");
        }
    }

    #[test]
    fn a_file_is_the_same_under_the_same_kernel_alone() {
        let place = claim().place;
        assert!(place.is_same_file(&place));
        let others = [
            Place {
                boot: Some("c".repeat(32)),
                ..place.clone()
            },
            Place {
                boot: None,
                ..place.clone()
            },
            Place {
                file: (8, 124),
                ..place.clone()
            },
        ];
        for other in others {
            assert!(!place.is_same_file(&other));
            assert!(!other.is_same_file(&place));
            assert!(other.boot.is_some() || !other.is_same_file(&other));
        }
    }
}
