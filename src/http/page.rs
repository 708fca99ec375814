//! Paging of lists: `?limit=` and `?after=`.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::query;

/// The part of a list that a caller asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page<A> {
    /// Number of entries, 1 to 1,000.
    #[serde(default = "usual")]
    pub(super) limit: u32,
    /// The last entry of the page before.
    #[serde(default)]
    pub(super) after: A,
}

const fn usual() -> u32 {
    100
}

impl<A: DeserializeOwned + Default> Page<A> {
    /// Parses the query of a URL.
    pub(super) fn from_query(query: &str) -> Result<Self, Problem> {
        let page: Self = query::parse(query, "the query takes limit and after")?;
        if (1..=1_000).contains(&page.limit) {
            Ok(page)
        } else {
            Err(Problem::invalid("limit must be 1 to 1000"))
        }
    }
}
