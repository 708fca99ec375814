use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::identity::{ClaimNonce, StoreId};
use crate::ports::Seat;

/// What keeps a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A database of a server.
    Postgres,
}

impl StoreKind {
    const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// As it stands in a claim.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Where a store is, as a process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    /// What keeps it.
    pub kind: StoreKind,
    /// The id of the kernel's boot, which all containers on that kernel share; none if it cannot be read.
    pub boot: Option<String>,
    /// Device and inode number of the file that a process locks while it serves the store: the database file,
    /// or one that stands for a database of a server.
    pub file: (u64, u64),
    /// Absolute path of the database file; or `<system identifier>:<database>`. Physical copies of a server
    /// share its system identifier.
    pub path: String,
}

impl StoreLocation {
    /// Whether both bear the same name. A copy may bear it too.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        (self.kind, &self.path) == (other.kind, &other.path)
    }

    /// Whether both are the same file under the same kernel: a process that has locked one has locked
    /// the other.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.boot.is_some() && self.boot == other.boot && self.file == other.file
    }
}

/// Whether a process serves the store of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A process serves it, or has crashed.
    Held,
    /// A process has taken the claim and waits: the process before may still serve for a time.
    Taken,
    /// The process that served it last has stopped in order.
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

/// The claim in the HSM.
///
/// Text: `<sqlite|postgres>:<store id>:<nonce>:<held|taken|free>:<seconds|->:<boot|->:<device>.<file>:<path>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The id of the store: copies of a store share it.
    pub store: StoreId,
    /// Drawn anew at each start and stop.
    pub nonce: ClaimNonce,
    /// Whether a process serves the store.
    pub state: State,
    /// How long the holder serves while the HSM is away; none means without a limit.
    pub max_outage: Option<Duration>,
    /// Where the store is that took it.
    pub location: StoreLocation,
}

impl Claim {
    /// Whether a store's seat has the nonce of this claim, as its present or as its next one.
    #[must_use]
    pub fn is_of(&self, seat: &Seat) -> bool {
        let same_nonce = seat.nonce == self.nonce || seat.next == Some(self.nonce);
        same_nonce && seat.store == self.store
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            store,
            nonce,
            state,
            max_outage,
            location:
                StoreLocation {
                    kind,
                    boot,
                    file,
                    path,
                },
        } = self;
        let (kind, state) = (kind.name(), state.name());
        let outage = max_outage.map_or("-".to_owned(), |it| it.as_secs().to_string());
        let boot = boot.as_deref().unwrap_or("-");
        let (device, number) = file;
        write!(
            f,
            "{kind}:{store}:{nonce}:{state}:{outage}:{boot}:{device}.{number}:{path}"
        )
    }
}

/// The text is no claim in this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAClaim;

impl FromStr for Claim {
    type Err = NotAClaim;

    fn from_str(text: &str) -> Result<Self, NotAClaim> {
        let parts: Vec<&str> = text.splitn(8, ':').collect();
        let [kind, store, nonce, state, outage, boot, file, path] = parts[..] else {
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
            location: StoreLocation {
                kind: StoreKind::ALL
                    .into_iter()
                    .find(|it| it.name() == kind)
                    .ok_or(NotAClaim)?,
                boot: given(boot),
                file: (number_of(device)?, number_of(number)?),
                path: path.to_owned(),
            },
        };
        // A claim has only one text.
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
            location: StoreLocation {
                kind: StoreKind::Sqlite,
                boot: Some("b".repeat(32)),
                file: (8, 123),
                path: "/a:b/lethe.db".into(),
            },
        }
    }

    /// Letter by letter as it stands in HSMs.
    #[test]
    fn the_text_has_one_spelling() {
        let bounded = Claim {
            state: State::Free,
            max_outage: Some(Duration::from_secs(30)),
            location: StoreLocation {
                boot: None,
                ..claim().location
            },
            ..claim()
        };
        let in_server = Claim {
            state: State::Taken,
            location: StoreLocation {
                kind: StoreKind::Postgres,
                path: "7301234567890123456:lethe".into(),
                ..claim().location
            },
            ..claim()
        };
        let (ids, boot) = (
            [1, 2].map(|id| format!("{id:02}").repeat(16)),
            "b".repeat(32),
        );
        let ids = ids.join(":");
        for (claim, text) in [
            (
                claim(),
                format!("sqlite:{ids}:held:-:{boot}:8.123:/a:b/lethe.db"),
            ),
            (
                bounded,
                format!("sqlite:{ids}:free:30:-:8.123:/a:b/lethe.db"),
            ),
            (
                in_server,
                format!("postgres:{ids}:taken:-:{boot}:8.123:7301234567890123456:lethe"),
            ),
        ] {
            assert_eq!(claim.to_string(), text);
            assert_eq!(text.parse(), Ok(claim));
        }
        let text = claim().to_string();
        for bad in [
            String::new(),
            "sqlite:machine:/a/lethe.db".into(),
            text.replace(":8.", ":08."),
            text.replace("held", "kept"),
            text.replace("sqlite", "mysql"),
        ] {
            assert_eq!(bad.parse::<Claim>(), Err(NotAClaim), "{bad}");
        }
    }

    #[test]
    fn a_file_is_the_same_under_the_same_kernel_alone() {
        let location = claim().location;
        assert!(location.is_same_file(&location));
        let others = [
            StoreLocation {
                boot: Some("c".repeat(32)),
                ..location.clone()
            },
            StoreLocation {
                boot: None,
                ..location.clone()
            },
            StoreLocation {
                file: (8, 124),
                ..location.clone()
            },
        ];
        for other in others {
            assert!(!location.is_same_file(&other));
            assert!(!other.is_same_file(&location));
            assert!(other.boot.is_some() || !other.is_same_file(&other));
        }
    }
}
