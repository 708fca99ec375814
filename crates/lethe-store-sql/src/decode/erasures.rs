use lethe_core::erasure::{
    AcceptedErasure, Erasure, ErasureKind, ErasureNumber, IdempotencyTag, ShredLeaf,
};
use lethe_core::grid::Generation;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::StoreError;
use lethe_core::receipt::{Commitment, ErasureId};
use lethe_core::tree::Address;

use super::Source;
use crate::row::StoredRow;

pub fn erasure(row: &impl StoredRow) -> Result<AcceptedErasure, StoreError> {
    let source = Source::new(row, "request");
    let kind = match source.number("kind")? {
        1 => ErasureKind::Shred {
            tag: IdempotencyTag::from_bytes(source.bytes("tag")?),
            commitment: Commitment::from_bytes(source.bytes("commitment")?),
            leaves: leaves(&source)?,
        },
        2 => ErasureKind::EraseKeyspace(source.name("keyspace_name")?),
        3 => ErasureKind::DropVersion(source.version("version")?),
        _ => return Err(source.corrupt("kind")),
    };
    Ok(AcceptedErasure {
        number: ErasureNumber::new(source.number("number")?),
        erasure: Erasure {
            id: ErasureId::from_bytes(source.bytes("id")?),
            keyspace: KeyspaceId::from_bytes(source.bytes("keyspace_id")?),
            accepted_at: source.time("accepted_at_ms")?,
            leases_end_at: source.time("leases_end_at_ms")?,
            kind,
        },
    })
}

/// Version (4), generation (2) and address (8) of each.
fn leaves(source: &Source<'_>) -> Result<Vec<ShredLeaf>, StoreError> {
    let bytes = source.optional_blob("leaves")?.unwrap_or_default();
    let (leaves, rest) = bytes.as_chunks::<14>();
    if !rest.is_empty() {
        return Err(source.corrupt("leaves"));
    }
    let leaf = |bytes: &[u8; 14]| {
        let number = bytes
            .iter()
            .fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
        Some(ShredLeaf {
            version: KeyVersion::new((number >> 80) as u32)?,
            generation: Generation::new((number >> 64) as u16),
            address: Address::from_bits(number as u64),
        })
    };
    let leaves: Option<Vec<ShredLeaf>> = leaves.iter().map(leaf).collect();
    leaves.ok_or_else(|| source.corrupt("leaves"))
}
