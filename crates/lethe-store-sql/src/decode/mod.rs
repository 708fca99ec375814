//! Rows into types, strictly: what no release of ours wrote is [`StoreError::Corrupt`], with the
//! table and column. Every function here fails so.

#![allow(
    clippy::missing_errors_doc,
    missing_docs,
    reason = "see above: one function for each row"
)]

mod approvals;
mod erasures;
mod source;

use std::time::Duration;

use lethe_core::clock::{BootPoint, Mark};
use lethe_core::duration::Span;
use lethe_core::erasure::ErasureNumber;
use lethe_core::identity::{ClaimNonce, DeploymentId, HsmKeyId, KeyspaceId, StoreId};
use lethe_core::keyspace::Policy;
use lethe_core::ports::{
    BatchRow, BucketRow, ExpiryRow, Fulfilled, HsmMove, KeyUse, KeyspaceRow, MetaRow, RootShare,
    SealedSecret, Seat, SignedDestruction, SigningPurpose, StoreError, Uses, VerificationKey,
    VersionRow,
};
use lethe_core::succession::{PublishedKey, Succession};
use lethe_core::time::Expiry;

pub use approvals::{approval, waiting_erasure};
pub use erasures::erasure;
use source::Source;

use crate::row::StoredRow;

pub fn deployment(row: &impl StoredRow) -> Result<Option<DeploymentId>, StoreError> {
    let source = Source::new(row, "deployment");
    Ok(source.optional_bytes("id")?.map(DeploymentId::from_bytes))
}

pub fn clock_mark(row: &impl StoredRow) -> Result<Mark, StoreError> {
    let source = Source::new(row, "deployment");
    let millis = |column| source.number(column).map(Duration::from_millis);
    let boot = match source.optional_bytes("clock_boot_id")? {
        None => None,
        Some(id) => Some(BootPoint {
            id,
            since_boot: millis("clock_boot_ms")?,
        }),
    };
    Ok(Mark {
        high_water: source.optional_time("clock_high_water_ms")?,
        lag: millis("clock_lag_ms")?,
        boot,
        gained: millis("clock_gained_ms")?,
    })
}

pub fn bucket(row: &impl StoredRow) -> Result<BucketRow, StoreError> {
    let source = Source::new(row, "bucket");
    Ok(BucketRow {
        expiry: Expiry::from_seconds(source.number("expiry_s")?),
        key: HsmKeyId::from_bytes(source.bytes("hsm_key_id")?),
        sealed: SealedSecret {
            iv: source.bytes("iv")?,
            ciphertext: source.bytes("ciphertext")?,
        },
    })
}

pub fn key_use(row: &impl StoredRow) -> Result<KeyUse, StoreError> {
    let source = Source::new(row, "key_use");
    Ok(KeyUse {
        keyspace: KeyspaceId::from_bytes(source.bytes("keyspace_id")?),
        version: source.version("version")?,
        client: source.text("client")?.into(),
        uses: Uses {
            issued: source.number("issued")?,
            last_issued: source.optional_time("last_issued_ms")?,
            unwrapped: source.number("unwrapped")?,
            last_unwrapped: source.optional_time("last_unwrapped_ms")?,
        },
    })
}

pub fn signing_key(row: &impl StoredRow) -> Result<PublishedKey, StoreError> {
    let source = Source::new(row, "signing_key");
    let purpose = match source.number("purpose")? {
        1 => SigningPurpose::Receipt,
        2 => SigningPurpose::Checkpoint,
        _ => return Err(source.corrupt("purpose")),
    };
    let predecessor = source.optional_bytes("predecessor")?;
    let succession = match predecessor.map(HsmKeyId::from_bytes) {
        None => None,
        Some(predecessor) => Some(Succession {
            predecessor,
            endorsement: source.bytes("endorsement")?,
        }),
    };
    let key = VerificationKey {
        id: source.key("id")?,
        purpose,
        public_key: source.bytes("public_key")?,
    };
    Ok(PublishedKey { key, succession })
}

pub fn hsm_move(row: &impl StoredRow) -> Result<HsmMove, StoreError> {
    let source = Source::new(row, "hsm_move");
    match source.number("emptied")? {
        0 => Ok(HsmMove::UnderWay),
        1 => Ok(HsmMove::Emptied),
        _ => Err(source.corrupt("emptied")),
    }
}

pub fn meta(row: &impl StoredRow) -> Result<MetaRow, StoreError> {
    let source = Source::new(row, "meta");
    Ok(MetaRow {
        sequence: source.number("sequence")?,
        epoch: source.number("epoch")?,
        share: RootShare {
            root: HsmKeyId::from_bytes(source.bytes("root_id")?),
            sealed: SealedSecret {
                iv: source.bytes("iv")?,
                ciphertext: source.bytes("ciphertext")?,
            },
        },
        directory: source.blob("directory")?,
    })
}

/// Rows of keyspaces joined with their versions, ordered so that those of one keyspace stand together.
pub fn keyspaces(rows: &[impl StoredRow]) -> Result<Vec<KeyspaceRow>, StoreError> {
    let mut keyspaces: Vec<KeyspaceRow> = Vec::new();
    for row in rows {
        let id = KeyspaceId::from_bytes(Source::new(row, "keyspace").bytes("id")?);
        let version = version(row)?;
        match keyspaces.last_mut() {
            Some(last) if last.id == id => last.versions.push(version),
            _ => keyspaces.push(keyspace(row, id, version)?),
        }
    }
    Ok(keyspaces)
}

fn keyspace(
    row: &impl StoredRow,
    id: KeyspaceId,
    first: VersionRow,
) -> Result<KeyspaceRow, StoreError> {
    let source = Source::new(row, "keyspace");
    let shorter = source.optional_blob("shorter_retentions_s")?;
    let shorter = shorter.unwrap_or_default();
    let (shorter, _) = shorter.as_chunks::<8>();
    let seconds = shorter.iter().copied().map(u64::from_be_bytes);
    let shorter: Vec<Span> = seconds.map(Span::from_seconds).collect();
    let policy = Policy::new(
        Span::from_seconds(source.number("retention_s")?),
        Span::from_seconds(source.number("granularity_s")?),
        Span::from_millis(source.number("rotation_ms")?),
        Span::from_millis(source.number("cache_ttl_ms")?),
    )
    .and_then(|policy| policy.with_shorter_retentions(&shorter))
    .map_err(|reason| StoreError::Corrupt(format!("keyspace policy: {reason}")))?;
    Ok(KeyspaceRow {
        id,
        name: source.name("name")?,
        policy,
        leases_until: source.time("leases_until_ms")?,
        expiries_until: source.time("expiries_until_ms")?,
        minimum_version: source.version("minimum_version")?,
        versions: vec![first],
    })
}

/// A keyspace without versions shows here too: the outer join leaves the column empty.
fn version(row: &impl StoredRow) -> Result<VersionRow, StoreError> {
    let source = Source::new(row, "key_version");
    Ok(VersionRow {
        version: source.version("version")?,
        created_at: source.time("created_at_ms")?,
    })
}

pub fn batch(row: &impl StoredRow) -> Result<BatchRow, StoreError> {
    let source = Source::new(row, "batch");
    let signature = source.optional_bytes("signature")?;
    let signed = signature.map(|signature| {
        let ids = source.optional_blob("destroyed")?.unwrap_or_default();
        let (ids, _) = ids.as_chunks::<16>();
        Ok(SignedDestruction {
            destroyed_at: source.time("destroyed_at_ms")?,
            destroyed: ids.iter().copied().map(HsmKeyId::from_bytes).collect(),
            signing_key: source.key("signing_key")?,
            signature,
        })
    });
    Ok(BatchRow {
        sequence: source.number("sequence")?,
        fulfilled: Fulfilled {
            first: ErasureNumber::new(source.number("first_request")?),
            last: ErasureNumber::new(source.number("last_request")?),
            replaced_root: source.key("replaced_root")?,
        },
        signed: signed.transpose()?,
    })
}

pub fn seat(row: &impl StoredRow) -> Result<Seat, StoreError> {
    let source = Source::new(row, "seat");
    Ok(Seat {
        store: StoreId::from_bytes(source.bytes("store_id")?),
        nonce: ClaimNonce::from_bytes(source.bytes("nonce")?),
        next: source.optional_bytes("next")?.map(ClaimNonce::from_bytes),
    })
}

pub fn expiry(row: &impl StoredRow) -> Result<ExpiryRow, StoreError> {
    let source = Source::new(row, "expiry");
    Ok(ExpiryRow {
        expiry: Expiry::from_seconds(source.number("expiry_s")?),
        signed: SignedDestruction {
            destroyed_at: source.time("destroyed_at_ms")?,
            destroyed: vec![source.key("hsm_key_id")?],
            signing_key: source.key("signing_key")?,
            signature: source.bytes("signature")?,
        },
    })
}
