//! AES-256-GCM under keys that seal one content in their life, so the nonce is 12 zero bytes: the
//! directory, pages and tails.

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// # Panics
/// Never: 32 bytes are a key of AES-256.
pub(crate) fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256"))
}

pub(crate) fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
