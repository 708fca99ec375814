use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::census::Census;

/// What was done so far, by this run and those that it goes on with.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) rewrapped: u64,
    /// Number of bad lines, by reason.
    pub(super) bad: BTreeMap<String, u64>,
    /// Wrapped keys in the lines read, counted by key version.
    pub(super) before: Census,
    /// Wrapped keys in the lines written, counted by key version. Bad lines keep their key and count
    /// too.
    pub(super) after: Census,
}

impl Tally {
    pub(super) fn bad(&self) -> u64 {
        self.bad.values().sum()
    }

    /// `expired 3, invalid_json 1`
    pub(super) fn reasons(&self) -> String {
        let reason = |(code, count): (&String, &u64)| format!("{code} {count}");
        self.bad.iter().map(reason).collect::<Vec<_>>().join(", ")
    }
}
