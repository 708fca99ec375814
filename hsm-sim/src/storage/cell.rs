//! The effaceable cell: a small block of keys, one for each record, overwritten in place.
//!
//! An entry takes 64 bytes, 64 entries a disk block, and each block stands there twice. The second
//! copy is written only when the first is durable: a write torn by a power cut harms one copy of
//! its block and none of another's. An entry counts while either copy is whole.

use std::collections::BTreeMap;
use std::io;

use aws_lc_rs::digest;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Slot;
use super::disk::{BLOCK, Disk, fill};

const ENTRY: usize = 64;
const SUM: usize = 16;
/// Slots of one block, and by how many the cell grows.
pub(super) const CHUNK: u32 = (BLOCK / ENTRY) as u32;

/// What opens one record. A key encrypts one record in its life.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Entry {
    #[zeroize(skip)]
    pub(super) slot: Slot,
    pub(super) sequence: u64,
    /// Bytes of the sealed record.
    pub(super) length: u32,
    pub(super) key: [u8; 32],
}

impl Entry {
    /// A fresh key for a slot; the length is known once the record is sealed.
    pub(super) fn draw(slot: Slot, sequence: u64) -> io::Result<Self> {
        let mut entry = Self {
            slot,
            sequence,
            length: 0,
            key: [0; 32],
        };
        fill(&mut entry.key)?;
        Ok(entry)
    }

    fn encode(&self) -> Zeroizing<[u8; ENTRY]> {
        let mut bytes = Zeroizing::new([0; ENTRY]);
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..40].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[40..44].copy_from_slice(&self.length.to_be_bytes());
        let sum = checksum(&bytes[..ENTRY - SUM]);
        bytes[ENTRY - SUM..].copy_from_slice(&sum);
        bytes
    }

    fn decode(slot: Slot, bytes: &[u8]) -> Option<Self> {
        if checksum(bytes.get(..ENTRY - SUM)?) != bytes.get(ENTRY - SUM..)? {
            return None;
        }
        Some(Self {
            slot,
            key: bytes[..32].try_into().ok()?,
            sequence: u64::from_be_bytes(bytes[32..40].try_into().ok()?),
            length: u32::from_be_bytes(bytes[40..44].try_into().ok()?),
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; SUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"hsm-sim cell 2");
    context.update(bytes);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&context.finish().as_ref()[..SUM]);
    sum
}

/// Where a copy (0 or 1) of an entry stands.
fn offset(slot: Slot, copy: u64) -> u64 {
    let (block, place) = (u64::from(slot.0 / CHUNK), (slot.0 % CHUNK) as usize);
    (block * 2 + copy) * BLOCK as u64 + (place * ENTRY) as u64
}

/// The cell's file.
pub(super) struct Cell(pub(super) Disk);

/// What a cell holds.
pub(super) struct Found {
    /// Every entry of which a copy is whole.
    pub(super) entries: Vec<Entry>,
    /// Slots of which only one copy is whole, with the copy that is not.
    pub(super) torn: BTreeMap<Slot, u64>,
}

impl Cell {
    /// Slots it has room for.
    pub(super) fn slots(&self) -> io::Result<u32> {
        Ok(self.0.units(2 * BLOCK)? * CHUNK)
    }

    /// Makes room for [`CHUNK`] more slots.
    pub(super) fn grow(&self) -> io::Result<()> {
        self.0.extend(2 * BLOCK, offset(Slot(self.slots()?), 0))
    }

    /// Makes an entry durable.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        self.write_copy(entry, 0)?;
        self.write_copy(entry, 1)
    }

    /// Makes one copy of an entry durable.
    pub(super) fn write_copy(&self, entry: &Entry, copy: u64) -> io::Result<()> {
        self.0.write(&*entry.encode(), offset(entry.slot, copy))?;
        self.0.sync()
    }

    /// Overwrites entries with noise, durably.
    pub(super) fn efface(&self, slots: &[Slot]) -> io::Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        for copy in 0..2 {
            for slot in slots {
                let mut noise = [0; ENTRY];
                fill(&mut noise)?;
                self.0.write(&noise, offset(*slot, copy))?;
            }
            self.0.sync()?;
        }
        Ok(())
    }

    pub(super) fn read(&self) -> io::Result<Found> {
        let slots = self.slots()?;
        let mut bytes = Zeroizing::new(vec![0; offset(Slot(slots), 0) as usize]);
        self.0.read(&mut bytes, 0)?;
        let (mut entries, mut torn) = (Vec::new(), BTreeMap::new());
        for slot in (0..slots).map(Slot) {
            let copy = |copy| {
                let start = offset(slot, copy) as usize;
                Entry::decode(slot, &bytes[start..start + ENTRY])
            };
            let copies = (copy(0), copy(1));
            match &copies {
                (None, Some(_)) => drop(torn.insert(slot, 0)),
                (Some(_), None) => drop(torn.insert(slot, 1)),
                _ => {}
            }
            entries.extend(copies.0.or(copies.1));
        }
        Ok(Found { entries, torn })
    }
}
