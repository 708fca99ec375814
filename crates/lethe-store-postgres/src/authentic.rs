//! Tables of which each row has a MAC.

use lethe_store_sql::authentic::{DEPLOYMENT, ERASURE, HSM_MOVE, SIGNING_KEY, Table};

pub(crate) const BUCKET_SHARE: Table = Table {
    name: "bucket_share",
    columns: &["expiry_s", "device", "hsm_key_id", "iv", "ciphertext"],
    key: 2,
};

/// All tables with a MAC.
pub(crate) const ALL: [&Table; 5] = [
    &DEPLOYMENT,
    &ERASURE,
    &BUCKET_SHARE,
    &SIGNING_KEY,
    &HSM_MOVE,
];
