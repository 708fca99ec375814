//! The fields of the JSON, by name.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptJson {
    pub(super) format: String,
    pub(super) item: ItemJson,
    pub(super) destroyed_at: String,
    pub(super) destroyed: Vec<String>,
    pub(super) method: MethodJson,
    pub(super) deployment: String,
    pub(super) sequence: u64,
    pub(super) batch: PlaceJson,
    pub(super) signature: SignatureJson,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MethodJson {
    HsmRootsDestroyed,
    HsmBucketKeyDestroyed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceJson {
    pub(super) size: u32,
    pub(super) index: u32,
    pub(super) path: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureJson {
    pub(super) algorithm: String,
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ItemJson {
    Shred {
        id: String,
        keyspace: String,
        accepted_at: String,
        leases_end_at: String,
        commitment: String,
    },
    KeyspaceErase {
        id: String,
        keyspace: String,
        accepted_at: String,
        leases_end_at: String,
    },
    VersionDrop {
        id: String,
        keyspace: String,
        version: u32,
        accepted_at: String,
        leases_end_at: String,
    },
    BucketExpiry {
        key: String,
        label: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpeningJson {
    pub(super) salt: String,
    pub(super) keyspace: String,
    pub(super) conversation: String,
    pub(super) keys: Vec<ShreddedKeyJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShreddedKeyJson {
    pub(super) version: u32,
    pub(super) generation: u16,
}
