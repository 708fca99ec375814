//! Randomness that repeats from one run to the next.

use std::sync::Mutex;

use lethe_core::ports::{Entropy, EntropyError};
use lethe_core::secret::Secret32;
use sha2::{Digest, Sha256};

use crate::evidence::Bytes32;

/// A stream of bytes that can be wound back, or stuck.
pub(super) struct Stream {
    at: Mutex<u64>,
    stuck: bool,
}

impl Stream {
    /// Stuck, it gives the same bytes for ever.
    pub(super) fn new(at: u64, stuck: bool) -> Self {
        let at = Mutex::new(at);
        Self { at, stuck }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> u64 {
        *self.at.lock().unwrap()
    }

    pub(super) fn wind_back(&self, to: u64) {
        *self.at.lock().unwrap() = to;
    }

    pub(super) fn draw(&self) -> Bytes32 {
        let mut at = self.at.lock().unwrap();
        *at += 1;
        Sha256::digest(at.to_be_bytes()).into()
    }

    pub(super) fn secret(&self) -> Secret32 {
        let drawn = self.draw();
        Secret32::filled(|bytes| *bytes = drawn)
    }
}

impl Entropy for Stream {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(32) {
            let drawn = if self.stuck { [0x55; 32] } else { self.draw() };
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}
