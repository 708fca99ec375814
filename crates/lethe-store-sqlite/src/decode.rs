//! Rows into types, strictly: what no release of ours wrote is [`StoreError::Corrupt`], with the
//! table and column. And numbers into SQLite's signed ones.

use std::time::Duration;

use lethe_core::approval::{
    Action, Approval, ApprovalId, ApprovalState, Asker, Decision, End, Pool, Principal, Scope,
    ShredCount, Void,
};
use lethe_core::clock::{BootPoint, Mark};
use lethe_core::duration::Span;
use lethe_core::erasure::{
    AcceptedErasure, Erasure, ErasureKind, ErasureNumber, IdempotencyTag, ShredLeaf,
};
use lethe_core::grid::Generation;
use lethe_core::identity::{ClaimNonce, DeploymentId, HsmKeyId, KeyspaceId, StoreId};
use lethe_core::keyspace::{KeyVersion, KeyspaceName, Policy};
use lethe_core::ports::{
    BatchRow, BucketRow, ExpiryRow, Fulfilled, HsmMove, KeyUse, KeyspaceRow, MetaRow, RootShare,
    SealedSecret, Seat, SignedDestruction, SigningPurpose, StoreError, Uses, VerificationKey,
    VersionRow,
};
use lethe_core::receipt::{Commitment, ErasureId};
use lethe_core::succession::{PublishedKey, Succession};
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::Address;
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

    fn optional_blob(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    fn principal(&self, column: &str, key: [u8; 32]) -> Result<Principal, StoreError> {
        let client: String = self.row.try_get(column).map_err(|_| self.corrupt(column))?;
        Ok(Principal {
            client: client.into(),
            key,
        })
    }

    fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.number(column).map(Timestamp::from_millis)
    }

    fn key(&self, column: &str) -> Result<HsmKeyId, StoreError> {
        self.bytes(column).map(HsmKeyId::from_bytes)
    }

    fn version(&self, column: &str) -> Result<KeyVersion, StoreError> {
        let number = u32::try_from(self.number(column)?).map_err(|_| self.corrupt(column))?;
        KeyVersion::new(number).ok_or_else(|| self.corrupt(column))
    }

    fn name(&self, column: &str) -> Result<KeyspaceName, StoreError> {
        let name: String = self.row.try_get(column).map_err(|_| self.corrupt(column))?;
        name.parse().map_err(|_| self.corrupt(column))
    }
}

pub(crate) fn deployment(row: &SqliteRow) -> Result<Option<DeploymentId>, StoreError> {
    let source = Source {
        row,
        table: "deployment",
    };
    Ok(source.optional_bytes("id")?.map(DeploymentId::from_bytes))
}

pub(crate) fn clock_mark(row: &SqliteRow) -> Result<Mark, StoreError> {
    let source = Source {
        row,
        table: "deployment",
    };
    let millis = |column| source.number(column).map(Duration::from_millis);
    let boot = match source.optional_bytes("clock_boot_id")? {
        None => None,
        Some(id) => Some(BootPoint {
            id,
            since_boot: millis("clock_boot_ms")?,
        }),
    };
    let high_water = source.optional_number("clock_high_water_ms")?;
    Ok(Mark {
        high_water: high_water.map(Timestamp::from_millis),
        lag: millis("clock_lag_ms")?,
        boot,
        gained: millis("clock_gained_ms")?,
    })
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

pub(crate) fn key_use(row: &SqliteRow) -> Result<KeyUse, StoreError> {
    let table = "key_use";
    let source = Source { row, table };
    let time = |column| {
        let millis = source.optional_number(column)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let client: String = row
        .try_get("client")
        .map_err(|_| source.corrupt("client"))?;
    Ok(KeyUse {
        keyspace: KeyspaceId::from_bytes(source.bytes("keyspace_id")?),
        version: source.version("version")?,
        client: client.into(),
        uses: Uses {
            issued: source.number("issued")?,
            last_issued: time("last_issued_ms")?,
            unwrapped: source.number("unwrapped")?,
            last_unwrapped: time("last_unwrapped_ms")?,
        },
    })
}

pub(crate) fn signing_key(row: &SqliteRow) -> Result<PublishedKey, StoreError> {
    let table = "signing_key";
    let source = Source { row, table };
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

pub(crate) fn hsm_move(row: &SqliteRow) -> Result<HsmMove, StoreError> {
    let table = "hsm_move";
    let source = Source { row, table };
    match source.number("emptied")? {
        0 => Ok(HsmMove::UnderWay),
        1 => Ok(HsmMove::Emptied),
        _ => Err(source.corrupt("emptied")),
    }
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
fn version(row: &SqliteRow) -> Result<VersionRow, StoreError> {
    let source = Source {
        row,
        table: "key_version",
    };
    Ok(VersionRow {
        version: source.version("version")?,
        created_at: source.time("created_at_ms")?,
    })
}

pub(crate) fn erasure(row: &SqliteRow) -> Result<AcceptedErasure, StoreError> {
    let source = Source {
        row,
        table: "request",
    };
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

pub(crate) fn approval(row: &SqliteRow) -> Result<Approval, StoreError> {
    let source = Source {
        row,
        table: "approval",
    };
    let number = |column| {
        let number = source.number(column)?;
        u32::try_from(number).map_err(|_| source.corrupt(column))
    };
    let action = match source.number("kind")? {
        1 => Action::Shred {
            conversations: number("conversations")?,
            single: number("alone")? == 1,
        },
        2 => Action::EraseKeyspace,
        3 => Action::DropVersion(source.version("version")?),
        4 => Action::SetMinimum(source.version("version")?),
        5 => settings(&source)?,
        6 => Action::ConfirmClock,
        7 => Action::MoveHsm,
        _ => return Err(source.corrupt("kind")),
    };
    let scope = match source.optional_bytes("keyspace_id")? {
        None => None,
        Some(id) => Some(Scope {
            id: KeyspaceId::from_bytes(id),
            name: source.name("keyspace_name")?,
        }),
    };
    let decision = match source.optional_bytes("second_key")? {
        None => None,
        Some(key) => Some(Decision {
            by: source.principal("second_by", key)?,
            at: source.time("second_at_ms")?,
        }),
    };
    Ok(Approval {
        id: ApprovalId::from_bytes(source.bytes("id")?),
        action,
        scope,
        asked_by: source.principal("asked_by", source.bytes("asked_key")?)?,
        asked_at: source.time("asked_at_ms")?,
        expires_at: source.time("expires_at_ms")?,
        reason: source.optional_text("reason")?.map(Into::into),
        digest: source.optional_bytes("digest")?,
        state: approval_state(&source)?,
        decision,
    })
}

fn approval_state(source: &Source<'_>) -> Result<ApprovalState, StoreError> {
    Ok(ApprovalState::Ended(match source.number("state")? {
        0 => return Ok(ApprovalState::Waiting),
        2 => return Ok(ApprovalState::Approved),
        3 => End::Expired,
        4 => End::Void(match source.number("void_reason")? {
            1 => Void::KeyspaceGone,
            2 => Void::AskerGone,
            3 => Void::Outdated,
            _ => return Err(source.corrupt("void_reason")),
        }),
        5 => End::Withdrawn,
        _ => return Err(source.corrupt("state")),
    }))
}

/// Twelve numbers each: the settings before and after.
fn settings(source: &Source<'_>) -> Result<Action, StoreError> {
    let bytes: [u8; 192] = source.bytes("settings")?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    let policy = |numbers: &[u64]| {
        let policy = Policy::new(
            Span::from_seconds(numbers[0]),
            Span::from_seconds(numbers[1]),
            Span::from_millis(numbers[2]),
            Span::from_millis(numbers[3]),
        );
        let shorter = numbers[4..].iter().filter(|seconds| **seconds > 0);
        let shorter: Vec<Span> = shorter.copied().map(Span::from_seconds).collect();
        let policy = policy.and_then(|policy| policy.with_shorter_retentions(&shorter));
        policy.map_err(|_| source.corrupt("settings"))
    };
    let (from, to) = (policy(&numbers[..12])?, policy(&numbers[12..])?);
    Ok(Action::SetPolicy { from, to })
}

pub(crate) fn shred_count(row: &SqliteRow) -> Result<ShredCount, StoreError> {
    let source = Source {
        row,
        table: "shred_window",
    };
    let pool = match source.number("pool")? {
        1 => Pool::MessageServers,
        2 => Pool::Operators,
        _ => return Err(source.corrupt("pool")),
    };
    let client = source.optional_text("client")?;
    Ok(ShredCount {
        asker: Asker {
            pool,
            client: client.ok_or_else(|| source.corrupt("client"))?.into(),
            keyspace: KeyspaceId::from_bytes(source.bytes("keyspace_id")?),
        },
        end: source.time("end_ms")?,
        conversations: source.number("conversations")?,
    })
}

pub(crate) fn waiting_erasure(row: &SqliteRow) -> Result<(ErasureId, ApprovalId), StoreError> {
    let source = Source {
        row,
        table: "waiting_request",
    };
    let erasure = ErasureId::from_bytes(source.bytes("id")?);
    Ok((
        erasure,
        ApprovalId::from_bytes(source.bytes("approval_id")?),
    ))
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

pub(crate) fn batch(row: &SqliteRow) -> Result<BatchRow, StoreError> {
    let source = Source {
        row,
        table: "batch",
    };
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

pub(crate) fn seat(row: &SqliteRow) -> Result<Seat, StoreError> {
    let source = Source { row, table: "seat" };
    Ok(Seat {
        store: StoreId::from_bytes(source.bytes("store_id")?),
        nonce: ClaimNonce::from_bytes(source.bytes("nonce")?),
        next: source.optional_bytes("next")?.map(ClaimNonce::from_bytes),
    })
}

pub(crate) fn expiry(row: &SqliteRow) -> Result<ExpiryRow, StoreError> {
    let source = Source {
        row,
        table: "expiry",
    };
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

/// SQLite's integers are signed; a number beyond them would come back as another.
pub(crate) fn signed(number: u64, column: &str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{column} cannot hold {number}")))
}
