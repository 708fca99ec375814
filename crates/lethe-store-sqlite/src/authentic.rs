//! Tables of which each row has a MAC.

use lethe_store_sql::authentic::{DEPLOYMENT, ERASURE, HSM_MOVE, SIGNING_KEY, Table};

pub(crate) const BUCKET: Table = Table {
    name: "bucket",
    columns: &["expiry_s", "hsm_key_id", "iv", "ciphertext"],
    key: 1,
};

/// All tables with a MAC.
pub(crate) const ALL: [&Table; 5] = [&DEPLOYMENT, &ERASURE, &BUCKET, &SIGNING_KEY, &HSM_MOVE];
