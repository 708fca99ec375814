//! Bytes and texts that are accepted, to be spoiled.

use lethe_core::conversation::ConversationId;
use lethe_core::grid::Generation;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::receipt::{
    Accepted, Commitment, ErasureId, Facts, Item, Method, Opening, Receipt, ShreddedKey,
};
use lethe_core::secret::Secret32;
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::wrapped_key::{Header, WrappedKey};
use proptest::prelude::*;

use super::pages::Place;
use super::rows;

/// A page of this level: few slots or many, tails and pages behind them.
pub fn any_page(level: u8) -> impl Strategy<Value = Vec<u8>> {
    (any::<[u64; 4]>(), any::<bool>()).prop_map(move |([first, second, third, ids], few)| {
        let width = if level == 10 { 4 } else { 6 };
        let slots = u64::MAX >> (64 - (1 << width));
        let occupied = if few { first & second } else { first };
        // Two neighbours at least: one tail alone is refused.
        let occupied = (occupied | 0b11 << (third % 15)) & slots;
        let inner = if width == 6 { third & occupied } else { 0 };
        rows::page(occupied, inner, width, |slot| ids ^ slot)
    })
}

pub fn any_tail(place: Place) -> impl Strategy<Value = Vec<u8>> {
    any::<u64>().prop_map(move |leaf| {
        let below = u64::MAX >> place.prefix().depth();
        rows::tail(place.prefix(), place.prefix().bits() | leaf & below)
    })
}

fn secret(byte: u8) -> Secret32 {
    Secret32::filled(|bytes| bytes.fill(byte))
}

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number.max(1)).unwrap()
}

/// Keyspace and version, then a secret and how many leaves are forgotten.
pub type Entries = Vec<((u8, u32), (u8, u64))>;

/// In any order.
pub fn entries() -> impl Strategy<Value = Entries> {
    prop::collection::vec(((0_u8..3, 1_u32..4), any::<(u8, u64)>()), 0..6)
}

/// Those that a directory may have.
pub fn ascending() -> impl Strategy<Value = Entries> {
    entries().prop_map(|mut entries| {
        entries.sort_unstable_by_key(|entry| entry.0);
        entries.dedup_by_key(|entry| entry.0);
        entries
    })
}

/// The clear bytes of a directory, as `docs/FORMATS.md` lays them out: sealed ones could not be
/// spoiled.
pub fn directory(entries: &Entries) -> Vec<u8> {
    let mut clear = (entries.len() as u32).to_be_bytes().to_vec();
    for &((keyspace, version), (secret, forgotten)) in entries {
        let paged = forgotten % 2 == 1;
        clear.extend([keyspace; 16]);
        clear.extend(version.to_be_bytes());
        clear.extend([secret; 32]);
        clear.push(u8::from(paged));
        clear.extend([!secret; 32]);
        if paged {
            clear.extend(forgotten.to_be_bytes());
        }
    }
    clear
}

pub fn wrapped_key() -> impl Strategy<Value = Vec<u8>> {
    any::<(u32, u16, u64, u8)>().prop_map(|(number, generation, expiry, key)| {
        let header = Header {
            version: version(number),
            generation: Generation::new(generation),
            expiry: Expiry::from_seconds(expiry),
        };
        // Another wrapping key than the one the property tries.
        let wrapped = WrappedKey::wrap(header, &secret(2), &secret(key));
        wrapped.to_string().into_bytes()
    })
}

pub fn opening() -> impl Strategy<Value = Vec<u8>> {
    let keys = prop::collection::vec(any::<(u32, u16)>(), 0..4);
    (any::<u8>(), "[ -~]{1,40}", keys).prop_map(|(salt, conversation, keys)| {
        let key = |(number, generation)| ShreddedKey {
            version: version(number),
            generation: Generation::new(generation),
        };
        let opening = Opening {
            salt: secret(salt),
            keyspace: KeyspaceId::from_bytes([0x4b; 16]),
            conversation: ConversationId::try_from(conversation.as_str()).unwrap(),
            keys: keys.into_iter().map(key).collect(),
        };
        opening.to_json().into_bytes()
    })
}

pub fn receipt() -> impl Strategy<Value = Vec<u8>> {
    let place = (
        any::<u32>(),
        any::<u32>(),
        prop::collection::vec(any::<[u8; 32]>(), 0..4),
    );
    let facts = (any::<u64>(), 0..4_000_000_000_000_u64, 0..3_u8);
    (0..4_u8, place, facts).prop_map(|(kind, (index, size, path), (sequence, time, destroyed))| {
        let receipt = Receipt {
            facts: Facts {
                deployment: DeploymentId::from_bytes([0xde; 16]),
                method: if kind == 3 {
                    Method::BucketKeyDestroyed
                } else {
                    Method::RootsDestroyed
                },
                sequence,
                destroyed_at: Timestamp::from_millis(time),
                destroyed: (0..destroyed)
                    .map(|byte| HsmKeyId::from_bytes([byte; 16]))
                    .collect(),
                signing_key: HsmKeyId::from_bytes([0x51; 16]),
            },
            item: item(kind, time),
            index,
            size,
            path,
            signature: [kind; 64],
        };
        receipt.to_json().into_bytes()
    })
}

fn item(kind: u8, time: u64) -> Item {
    let accepted = Accepted {
        id: ErasureId::from_bytes([0xad; 16]),
        keyspace: KeyspaceId::from_bytes([0x4b; 16]),
        accepted_at: Timestamp::from_millis(time),
        leases_end_at: Timestamp::from_millis(time + 300_000),
    };
    match kind {
        0 => Item::Shred {
            accepted,
            commitment: Commitment::from_bytes([0xc0; 32]),
        },
        1 => Item::KeyspaceErase { accepted },
        2 => Item::VersionDrop {
            accepted,
            version: version(4),
        },
        _ => Item::BucketExpiry {
            key: HsmKeyId::from_bytes([0xb0; 16]),
            expiry: Expiry::from_seconds(time),
        },
    }
}
