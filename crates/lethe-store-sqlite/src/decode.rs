//! Rows into types, strictly: what no release of ours wrote is [`StoreError::Corrupt`], with the
//! table and column. And numbers into SQLite's signed ones.

use lethe_core::duration::Span;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::{KeyVersion, KeyspaceName, Policy};
use lethe_core::ports::{
    BucketRow, KeyspaceRow, MetaRow, RootShare, SealedSecret, StoreError, VersionRow,
};
use lethe_core::time::{Expiry, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A row and the table that errors name.
struct Source<'r> {
    row: &'r SqliteRow,
    table: &'static str,
}

impl Source<'_> {
    fn corrupt(&self, column: &str) -> StoreError {
        StoreError::Corrupt(format!("{}.{column}", self.table))
    }

    fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, StoreError> {
        let bytes: Option<Vec<u8>> = self.row.try_get(column).map_err(|_| self.corrupt(column))?;
        bytes
            .map(|bytes| bytes.try_into().map_err(|_| self.corrupt(column)))
            .transpose()
    }

    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], StoreError> {
        self.optional_bytes(column)?
            .ok_or_else(|| self.corrupt(column))
    }

    fn optional_number(&self, column: &str) -> Result<Option<u64>, StoreError> {
        let number: Option<i64> = self.row.try_get(column).map_err(|_| self.corrupt(column))?;
        number
            .map(|number| u64::try_from(number).map_err(|_| self.corrupt(column)))
            .transpose()
    }

    fn number(&self, column: &str) -> Result<u64, StoreError> {
        self.optional_number(column)?
            .ok_or_else(|| self.corrupt(column))
    }

    fn name(&self) -> Result<KeyspaceName, StoreError> {
        let name: String = self.row.try_get("name").map_err(|_| self.corrupt("name"))?;
        name.parse().map_err(|_| self.corrupt("name"))
    }
}

pub(crate) fn deployment(row: &SqliteRow) -> Result<Option<DeploymentId>, StoreError> {
    let source = Source {
        row,
        table: "deployment",
    };
    Ok(source.optional_bytes("id")?.map(DeploymentId::from_bytes))
}

pub(crate) fn clock_high_water(row: &SqliteRow) -> Result<Option<Timestamp>, StoreError> {
    let source = Source {
        row,
        table: "deployment",
    };
    Ok(source
        .optional_number("clock_high_water_ms")?
        .map(Timestamp::from_millis))
}

pub(crate) fn bucket(row: &SqliteRow) -> Result<BucketRow, StoreError> {
    let source = Source {
        row,
        table: "bucket",
    };
    Ok(BucketRow {
        expiry: Expiry::from_seconds(source.number("expiry_s")?),
        key: HsmKeyId::from_bytes(source.bytes("hsm_key_id")?),
        sealed: SealedSecret {
            iv: source.bytes("iv")?,
            ciphertext: source.bytes("ciphertext")?,
        },
    })
}

pub(crate) fn meta(row: &SqliteRow) -> Result<MetaRow, StoreError> {
    let source = Source { row, table: "meta" };
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
        directory: row
            .try_get("directory")
            .map_err(|_| source.corrupt("directory"))?,
    })
}

/// Rows of keyspaces joined with their versions, ordered so that those of one keyspace stand together.
pub(crate) fn keyspaces(rows: &[SqliteRow]) -> Result<Vec<KeyspaceRow>, StoreError> {
    let mut keyspaces: Vec<KeyspaceRow> = Vec::new();
    for row in rows {
        let id = KeyspaceId::from_bytes(
            Source {
                row,
                table: "keyspace",
            }
            .bytes("id")?,
        );
        let version = version(row)?;
        match keyspaces.last_mut() {
            Some(last) if last.id == id => last.versions.push(version),
            _ => keyspaces.push(keyspace(row, id, version)?),
        }
    }
    Ok(keyspaces)
}

fn keyspace(row: &SqliteRow, id: KeyspaceId, first: VersionRow) -> Result<KeyspaceRow, StoreError> {
    let source = Source {
        row,
        table: "keyspace",
    };
    let policy = Policy::new(
        Span::from_seconds(source.number("retention_s")?),
        Span::from_seconds(source.number("granularity_s")?),
        Span::from_millis(source.number("rotation_ms")?),
        Span::from_millis(source.number("cache_ttl_ms")?),
    )
    .map_err(|reason| StoreError::Corrupt(format!("keyspace policy: {reason}")))?;
    Ok(KeyspaceRow {
        id,
        name: source.name()?,
        policy,
        versions: vec![first],
    })
}

/// A keyspace without versions shows here too: the outer join leaves the column empty.
fn version(row: &SqliteRow) -> Result<VersionRow, StoreError> {
    let source = Source {
        row,
        table: "key_version",
    };
    let number = u32::try_from(source.number("version")?).map_err(|_| source.corrupt("version"))?;
    Ok(VersionRow {
        version: KeyVersion::new(number).ok_or_else(|| source.corrupt("version"))?,
        created_at: Timestamp::from_millis(source.number("created_at_ms")?),
    })
}

/// SQLite's integers are signed; a number beyond them would come back as another.
pub(crate) fn signed(number: u64, column: &str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{column} cannot hold {number}")))
}
