//! Records: what stands encrypted in the file `objects`, each under its own key of the cell.

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cell::{CHUNK, Entry};
use super::disk::{BLOCK, Disk};
use super::state::Header;
use super::{Slot, State};
use crate::token::object::Object;

/// Slots are disk blocks: a torn write of one record cannot harm another.
const SLOT: usize = BLOCK;

/// What one record holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Record<H, O> {
    /// The record (by sequence) that this one stands for; it is void once this one is there.
    pub(super) replaces: Option<u64>,
    pub(super) content: Content<H, O>,
}

/// Generic, so that it is written from references.
#[derive(Serialize, Deserialize)]
pub(super) enum Content<H, O> {
    /// Objects of an older sequence than `since` are void.
    Header { since: u64, header: H },
    /// By handle; several only if they were made in one call.
    Objects(Vec<(u64, O)>),
}

/// A record as read.
pub(super) type Read = Record<Header, Object>;
/// A record to write.
pub(super) type Write<'a> = Record<&'a Header, &'a Object>;

impl<'a> Write<'a> {
    pub(super) fn objects(state: &'a State, handles: &[u64], replaces: Option<u64>) -> Self {
        let find = |handle: &u64| Some((*handle, state.objects.get(handle)?));
        Self {
            replaces,
            content: Content::Objects(handles.iter().filter_map(find).collect()),
        }
    }
}

/// The file of all records.
pub(super) struct Records(pub(super) Disk);

fn offset(slot: Slot) -> u64 {
    u64::from(slot.0) * SLOT as u64
}

impl Records {
    /// Slots it has room for.
    pub(super) fn slots(&self) -> io::Result<u32> {
        self.0.units(SLOT)
    }

    /// Makes room for as many more slots as the cell grows by.
    pub(super) fn grow(&self) -> io::Result<()> {
        self.0
            .extend(CHUNK as usize * SLOT, offset(Slot(self.slots()?)))
    }

    /// Makes a sealed record durable.
    pub(super) fn write(&self, slot: Slot, sealed: &[u8]) -> io::Result<()> {
        self.0.write(sealed, offset(slot))?;
        self.0.sync()
    }

    /// Reads and opens the record of an entry.
    pub(super) fn read(&self, entry: &Entry) -> io::Result<Read> {
        let mut bytes = vec![0; entry.length as usize];
        self.0.read(&mut bytes, offset(entry.slot))?;
        open(bytes, entry)
    }
}

/// Slots a sealed record takes.
pub(super) fn slots_of(length: u32) -> u32 {
    length.div_ceil(SLOT as u32).max(1)
}

fn key(entry: &Entry) -> io::Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &entry.key)
        .map(LessSafeKey::new)
        .map_err(|_| io::Error::other("cell key refused"))
}

/// An entry's key encrypts one record only, so its nonce may be constant.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn aad(entry: &Entry) -> Aad<[u8; 12]> {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(&entry.sequence.to_be_bytes());
    aad[8..].copy_from_slice(&entry.slot.0.to_be_bytes());
    Aad::from(aad)
}

/// The plaintext of a record.
pub(super) fn encode(record: &Write<'_>) -> io::Result<Zeroizing<Vec<u8>>> {
    let size: usize = match &record.content {
        Content::Header { .. } => 0,
        Content::Objects(objects) => objects.iter().map(|(_, object)| object.size()).sum(),
    };
    // Room enough that the vector need not move: a moved vector leaves plaintext behind.
    let room = Vec::with_capacity(4096 + size);
    postcard::to_extend(record, room)
        .map(Zeroizing::new)
        .map_err(io::Error::other)
}

/// Bytes that sealing adds.
pub(super) const TAG: usize = 16;

/// Encrypts a plaintext, bound to slot and sequence of `entry`.
pub(super) fn seal(mut plain: Zeroizing<Vec<u8>>, entry: &Entry) -> io::Result<Vec<u8>> {
    let tag = key(entry)?
        .seal_in_place_separate_tag(nonce(), aad(entry), &mut plain)
        .map_err(|_| io::Error::other("sealing failed"))?;
    let mut sealed = std::mem::take(&mut *plain);
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Decrypts what [`seal`] made.
pub(super) fn open(bytes: Vec<u8>, entry: &Entry) -> io::Result<Read> {
    let mut bytes = Zeroizing::new(bytes);
    let body = key(entry)?
        .open_in_place(nonce(), aad(entry), &mut bytes)
        .map_err(|_| io::Error::other(format!("record {} does not open", entry.slot.0)))?;
    postcard::from_bytes(body).map_err(io::Error::other)
}
