use std::path::PathBuf;

use serde::Deserialize;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The SQLite database.
    pub sqlite: PathBuf,
}
