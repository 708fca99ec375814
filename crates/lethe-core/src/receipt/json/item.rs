//! Items in JSON.

use base64ct::{Base64, Encoding};

use super::InvalidJson;
use super::shape::ItemJson;
use super::text::{bytes, time, time_text, value};
use crate::identity::DeploymentId;
use crate::keyspace::KeyVersion;
use crate::ports::KeyLabel;
use crate::receipt::{Accepted, Commitment, Item};
use crate::time::Expiry;

impl ItemJson {
    pub(super) fn from_item(item: &Item, deployment: DeploymentId) -> Self {
        match item {
            Item::Shred {
                accepted,
                commitment,
            } => Self::Shred {
                id: accepted.id.to_string(),
                keyspace: accepted.keyspace.to_string(),
                accepted_at: time_text(accepted.accepted_at),
                leases_end_at: time_text(accepted.leases_end_at),
                commitment: Base64::encode_string(commitment.as_bytes()),
            },
            Item::KeyspaceErase { accepted } => Self::KeyspaceErase {
                id: accepted.id.to_string(),
                keyspace: accepted.keyspace.to_string(),
                accepted_at: time_text(accepted.accepted_at),
                leases_end_at: time_text(accepted.leases_end_at),
            },
            Item::VersionDrop { accepted, version } => Self::VersionDrop {
                id: accepted.id.to_string(),
                keyspace: accepted.keyspace.to_string(),
                version: version.number(),
                accepted_at: time_text(accepted.accepted_at),
                leases_end_at: time_text(accepted.leases_end_at),
            },
            Item::BucketExpiry { key, expiry } => Self::BucketExpiry {
                key: key.to_string(),
                label: KeyLabel::Bucket {
                    deployment,
                    expiry: *expiry,
                }
                .to_string(),
            },
        }
    }

    pub(super) fn read(&self, deployment: DeploymentId) -> Result<Item, InvalidJson> {
        match self {
            Self::Shred {
                id,
                keyspace,
                accepted_at,
                leases_end_at,
                commitment,
            } => Ok(Item::Shred {
                accepted: accepted(id, keyspace, accepted_at, leases_end_at)?,
                commitment: Commitment::from_bytes(bytes("commitment", commitment)?),
            }),
            Self::KeyspaceErase {
                id,
                keyspace,
                accepted_at,
                leases_end_at,
            } => Ok(Item::KeyspaceErase {
                accepted: accepted(id, keyspace, accepted_at, leases_end_at)?,
            }),
            Self::VersionDrop {
                id,
                keyspace,
                version,
                accepted_at,
                leases_end_at,
            } => Ok(Item::VersionDrop {
                accepted: accepted(id, keyspace, accepted_at, leases_end_at)?,
                version: KeyVersion::new(*version).ok_or(InvalidJson::Value("version"))?,
            }),
            Self::BucketExpiry { key, label } => Ok(Item::BucketExpiry {
                key: value("key", key)?,
                expiry: expiry(label, deployment)?,
            }),
        }
    }
}

fn accepted(
    id: &str,
    keyspace: &str,
    accepted_at: &str,
    leases_end_at: &str,
) -> Result<Accepted, InvalidJson> {
    Ok(Accepted {
        id: value("id", id)?,
        keyspace: value("keyspace", keyspace)?,
        accepted_at: time("accepted_at", accepted_at)?,
        leases_end_at: time("leases_end_at", leases_end_at)?,
    })
}

fn expiry(label: &str, ours: DeploymentId) -> Result<Expiry, InvalidJson> {
    match value("label", label)? {
        KeyLabel::Bucket { deployment, expiry } if deployment == ours => Ok(expiry),
        _ => Err(InvalidJson::Value("label")),
    }
}
