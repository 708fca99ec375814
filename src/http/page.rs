//! Lists come in pages: `?limit=` and `?after=`.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Which part of a list is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page<A> {
    /// 1 to 1,000.
    #[serde(default = "usual")]
    pub(super) limit: u32,
    /// What the page before ended with.
    #[serde(default)]
    pub(super) after: A,
}

const fn usual() -> u32 {
    100
}

impl<A: DeserializeOwned + Default> Page<A> {
    /// Out of a query.
    pub(super) fn of(query: &str) -> Result<Self, Problem> {
        let page: Self = serde_urlencoded::from_str(query)
            .map_err(|_| Problem::invalid("the query takes limit and after"))?;
        if (1..=1_000).contains(&page.limit) {
            Ok(page)
        } else {
            Err(Problem::invalid("limit must be 1 to 1000"))
        }
    }
}
