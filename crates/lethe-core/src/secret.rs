//! Secret bytes: boxed so that a move copies a pointer, wiped on drop, never shown, never cloned,
//! compared in constant time.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret32(Box<[u8; 32]>);

impl Secret32 {
    /// Makes the secret in its final place: `fill` writes into the boxed bytes.
    pub fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut bytes = Box::new([0; 32]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// Like [`Self::filled`] for a source that can fail.
    ///
    /// # Errors
    /// The error of `fill`. Nothing secret is left then.
    pub fn try_filled<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; 32]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// The bytes, for a derivation or a cipher; do not copy them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes a copy. The name makes copies of secrets easy to find in the code.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self::filled(|bytes| bytes.copy_from_slice(self.expose()))
    }

    /// Constant-time equality.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret32::filled(|bytes| bytes.fill(0xab));
        assert_eq!(format!("{secret:?}"), "Secret32(..)");
    }
}
