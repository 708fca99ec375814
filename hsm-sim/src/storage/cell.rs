//! The effaceable cell: two slots on disk, of which one holds the key of the state file.
//!
//! Slots sit on different blocks, so that a torn write of one leaves the other whole. A switch
//! writes the new slot, and only then overwrites the old one: at every instant one is valid.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use aws_lc_rs::{digest, rand};
use zeroize::{Zeroize, ZeroizeOnDrop};

const MAGIC: &[u8; 8] = b"HSMCELL1";
const SLOT: usize = 80;
const STRIDE: u64 = 4096;

/// The state file's sequence number and its key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct CellKey {
    pub(crate) sequence: u64,
    pub(crate) key: [u8; 32],
}

impl CellKey {
    /// A fresh key for the state after `sequence`.
    pub(crate) fn draw(sequence: u64) -> io::Result<Self> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| io::Error::other("no randomness"))?;
        Ok(Self { sequence, key })
    }

    fn encode(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        slot[16..48].copy_from_slice(&self.key);
        let sum = digest::digest(&digest::SHA256, &slot[..48]);
        slot[48..].copy_from_slice(sum.as_ref());
        slot
    }

    fn decode(slot: &[u8; SLOT]) -> Option<Self> {
        let sum = digest::digest(&digest::SHA256, &slot[..48]);
        if &slot[..8] != MAGIC || sum.as_ref() != &slot[48..] {
            return None;
        }
        let sequence = u64::from_be_bytes(slot[8..16].try_into().ok()?);
        let key = slot[16..48].try_into().ok()?;
        Some(Self { sequence, key })
    }
}

/// The slot that belongs to a sequence number: neighbours never share one.
fn offset(sequence: u64) -> u64 {
    (sequence % 2) * STRIDE
}

/// Writes the slot of `cell` durably; the other slot stays as it is.
pub(crate) fn write(file: &File, cell: &CellKey) -> io::Result<()> {
    let mut slot = cell.encode();
    let written = file.write_all_at(&slot, offset(cell.sequence));
    slot.zeroize();
    written.and_then(|()| file.sync_data())
}

/// Overwrites the slot opposite to `sequence`'s with random bytes, durably.
pub(crate) fn efface_other(file: &File, sequence: u64) -> io::Result<()> {
    efface(file, sequence.wrapping_add(1))
}

/// Overwrites both slots: nothing opens any more.
pub(crate) fn efface_all(file: &File) -> io::Result<()> {
    efface(file, 0).and_then(|()| efface(file, 1))
}

fn efface(file: &File, sequence: u64) -> io::Result<()> {
    let mut noise = [0; SLOT];
    rand::fill(&mut noise).map_err(|_| io::Error::other("no randomness"))?;
    file.write_all_at(&noise, offset(sequence))?;
    file.sync_data()
}

/// Every valid slot, the newest first.
pub(crate) fn read(file: &File) -> io::Result<Vec<CellKey>> {
    let mut found = Vec::new();
    for slot in 0..2 {
        let mut bytes = [0; SLOT];
        match file.read_exact_at(&mut bytes, slot * STRIDE) {
            Ok(()) => found.extend(CellKey::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        bytes.zeroize();
    }
    found.sort_by_key(|cell| std::cmp::Reverse(cell.sequence));
    Ok(found)
}
