use std::path::PathBuf;

use serde::Deserialize;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The path of the SQLite database.
    pub sqlite: PathBuf,
}
