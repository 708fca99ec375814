//! Secret bytes of any length, never reallocated, wiped on drop.

use zeroize::Zeroize;

/// The clear bytes of a page or tail.
pub(super) struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    pub(super) fn zeroed(length: usize) -> Self {
        Self(vec![0; length].into_boxed_slice())
    }

    pub(super) const fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) const fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // The slice, not the box: zeroize wipes a box byte by byte.
        self.0.as_mut().zeroize();
    }
}

/// Fills secret bytes. Their greatest length is known beforehand.
pub(super) struct Writer {
    bytes: SecretBytes,
    written: usize,
}

impl Writer {
    pub(super) fn with_capacity(length: usize) -> Self {
        Self {
            bytes: SecretBytes::zeroed(length),
            written: 0,
        }
    }

    /// # Panics
    /// If the capacity is exceeded, which is a bug.
    pub(super) fn push(&mut self, part: &[u8]) {
        let end = self.written + part.len();
        self.bytes.0[self.written..end].copy_from_slice(part);
        self.written = end;
    }

    /// Begins again; the old bytes stay until they are written over or wiped on drop.
    pub(super) const fn rewind(&mut self) {
        self.written = 0;
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.bytes.0[..self.written]
    }

    /// # Panics
    /// If it is not filled to the last byte, which is a bug.
    pub(super) fn finish(self) -> SecretBytes {
        assert_eq!(
            self.written,
            self.bytes.0.len(),
            "a page has its exact length"
        );
        self.bytes
    }
}
