use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Keys by key version, as their headers say.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Census(BTreeMap<u32, u64>);

impl Census {
    pub(super) fn count(&mut self, version: u32) {
        *self.0.entry(version).or_default() += 1;
    }

    /// All keys.
    pub(super) fn keys(&self) -> u64 {
        self.0.values().sum()
    }

    /// Keys of versions before this one.
    pub(super) fn below(&self, version: u32) -> u64 {
        self.0.range(..version).map(|(_, keys)| keys).sum()
    }

    fn keys_of(&self, version: u32) -> u64 {
        self.0.get(&version).copied().unwrap_or_default()
    }
}

/// A line for each version that there was, or is.
pub(super) fn table(before: &Census, after: Option<&Census>) -> String {
    let mut all = before.clone();
    all.0.extend(after.iter().flat_map(|after| after.0.clone()));
    let mut text = format!("{:>7} {:>12}", "VERSION", "BEFORE");
    if after.is_some() {
        text.push_str(&format!(" {:>12}", "AFTER"));
    }
    for version in all.0.into_keys() {
        text.push_str(&format!("\n{version:>7} {:>12}", before.keys_of(version)));
        if let Some(after) = after {
            text.push_str(&format!(" {:>12}", after.keys_of(version)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(versions: &[u32]) -> Census {
        let mut census = Census::default();
        versions.iter().for_each(|version| census.count(*version));
        census
    }

    #[test]
    fn versions_of_either_side_have_a_line() {
        let (before, after) = (census(&[1, 2, 1]), census(&[3, 3]));
        let lines: Vec<_> = table(&before, Some(&after))
            .lines()
            .map(|line| {
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(
            lines,
            [
                ["VERSION", "BEFORE", "AFTER"],
                ["1", "2", "0"],
                ["2", "1", "0"],
                ["3", "0", "2"]
            ]
        );
        assert_eq!(table(&before, None).lines().count(), 3);
        assert_eq!((before.keys(), before.below(2), before.below(9)), (3, 2, 3));
    }

    #[test]
    fn it_is_kept_as_json() {
        let json = serde_json::to_string(&census(&[1, 9, 9])).unwrap();
        assert_eq!(json, r#"{"1":1,"9":2}"#);
        assert_eq!(
            serde_json::from_str::<Census>(&json).unwrap(),
            census(&[9, 1, 9])
        );
    }
}
