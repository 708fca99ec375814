//! Turns a state into a file's bytes and back, under a cell key.

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::State;
use super::cell::CellKey;

fn key(cell: &CellKey) -> io::Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &cell.key)
        .map(LessSafeKey::new)
        .map_err(|_| io::Error::other("cell key refused"))
}

/// A cell key encrypts one state only, so its nonce may be constant.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Encrypts `state`, bound to the sequence number of `cell`.
pub(crate) fn seal(state: &State, cell: &CellKey) -> io::Result<Vec<u8>> {
    // Room enough that the vector need not move: a moved vector leaves plaintext behind.
    let room = Vec::with_capacity(4096 + state.objects.len() * 1024);
    let mut body = Zeroizing::new(postcard::to_extend(state, room).map_err(io::Error::other)?);
    let tag = key(cell)?
        .seal_in_place_separate_tag(nonce(), Aad::from(cell.sequence.to_be_bytes()), &mut body)
        .map_err(|_| io::Error::other("sealing failed"))?;
    body.extend_from_slice(tag.as_ref());
    Ok(std::mem::take(&mut *body))
}

/// Decrypts what [`seal`] made.
pub(crate) fn open(bytes: Vec<u8>, cell: &CellKey) -> io::Result<State> {
    let mut bytes = Zeroizing::new(bytes);
    let body = key(cell)?
        .open_in_place(nonce(), Aad::from(cell.sequence.to_be_bytes()), &mut bytes)
        .map_err(|_| io::Error::other("state does not open"))?;
    postcard::from_bytes(body).map_err(io::Error::other)
}
