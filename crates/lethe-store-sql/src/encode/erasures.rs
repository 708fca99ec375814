use lethe_core::deployment_key::Column;
use lethe_core::erasure::{Erasure, ErasureKind, ShredLeaf};
use lethe_core::ports::StoreError;

use crate::authentic::{Authenticity, ERASURE};
use crate::row::signed;

/// The columns of an erasure. In `waiting_request` the number is the column `place`.
#[derive(Debug)]
pub struct ErasureColumns {
    /// `number`
    pub number: i64,
    /// `id`
    pub id: Vec<u8>,
    /// `kind`: 1 shred, 2 erase of a keyspace, 3 drop of a version
    pub kind: i64,
    /// `keyspace_id`
    pub keyspace: Vec<u8>,
    /// `accepted_at_ms`
    pub accepted_at: i64,
    /// `leases_end_at_ms`
    pub leases_end_at: i64,
    /// `tag`, of a shred
    pub tag: Option<Vec<u8>>,
    /// `commitment`, of a shred
    pub commitment: Option<Vec<u8>>,
    /// `leaves`, of a shred: version (4), generation (2) and address (8) of each
    pub leaves: Option<Vec<u8>>,
    /// `keyspace_name`, of an erase
    pub name: Option<String>,
    /// `version`, of a drop
    pub version: Option<i64>,
}

impl ErasureColumns {
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn new(number: i64, erasure: &Erasure) -> Result<Self, StoreError> {
        let none = Self {
            number,
            id: erasure.id.as_bytes().to_vec(),
            kind: 0,
            keyspace: erasure.keyspace.as_bytes().to_vec(),
            accepted_at: signed(erasure.accepted_at.as_millis(), "request.accepted_at_ms")?,
            leases_end_at: signed(
                erasure.leases_end_at.as_millis(),
                "request.leases_end_at_ms",
            )?,
            tag: None,
            commitment: None,
            leaves: None,
            name: None,
            version: None,
        };
        Ok(match &erasure.kind {
            ErasureKind::Shred {
                tag,
                commitment,
                leaves,
            } => Self {
                kind: 1,
                tag: Some(tag.as_bytes().to_vec()),
                commitment: Some(commitment.as_bytes().to_vec()),
                leaves: Some(leaves.iter().flat_map(leaf_bytes).collect()),
                ..none
            },
            ErasureKind::EraseKeyspace(name) => Self {
                kind: 2,
                name: Some(name.as_str().to_owned()),
                ..none
            },
            ErasureKind::DropVersion(version) => Self {
                kind: 3,
                version: Some(version.number().into()),
                ..none
            },
        })
    }

    /// Erasures numbered in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn numbered(first: i64, erasures: &[Erasure]) -> Result<Vec<Self>, StoreError> {
        let numbered = (first..).zip(erasures);
        numbered
            .map(|(number, erasure)| Self::new(number, erasure))
            .collect()
    }

    /// In the order of [`ERASURE`]; none before the key is known.
    #[must_use]
    pub fn mac(&self, authentic: &Authenticity) -> Option<Vec<u8>> {
        let columns = [
            Column::Integer(self.number),
            Column::Blob(&self.id),
            Column::Integer(self.kind),
            Column::Blob(&self.keyspace),
            Column::Integer(self.accepted_at),
            Column::Integer(self.leases_end_at),
            Column::blob(self.tag.as_deref()),
            Column::blob(self.commitment.as_deref()),
            Column::blob(self.leaves.as_deref()),
            self.name.as_deref().map_or(Column::Null, Column::Text),
            self.version.map_or(Column::Null, Column::Integer),
        ];
        authentic.mac(&ERASURE, &columns).map(Vec::from)
    }
}

fn leaf_bytes(leaf: &ShredLeaf) -> Vec<u8> {
    [
        leaf.version.number().to_be_bytes().as_slice(),
        &leaf.generation.number().to_be_bytes(),
        &leaf.address.bits().to_be_bytes(),
    ]
    .concat()
}
