//! Fresh random page keys, drawn from the port some at a time.

use super::buffer::SecretBytes;
use crate::ports::{Entropy, EntropyError};
use crate::secret::Secret32;

const AT_A_TIME: usize = 64 * 32;

/// Each key is handed out once.
pub(super) struct FreshKeys<'e> {
    entropy: &'e dyn Entropy,
    drawn: SecretBytes,
    left: usize,
}

impl<'e> FreshKeys<'e> {
    pub(super) fn new(entropy: &'e dyn Entropy) -> Self {
        Self {
            entropy,
            drawn: SecretBytes::zeroed(AT_A_TIME),
            left: 0,
        }
    }

    pub(super) fn draw(&mut self) -> Result<Secret32, EntropyError> {
        if self.left == 0 {
            self.entropy.fill(self.drawn.as_mut_slice())?;
            self.left = AT_A_TIME;
        }
        self.left -= 32;
        let next = &mut self.drawn.as_mut_slice()[self.left..self.left + 32];
        let key = Secret32::filled(|key| key.copy_from_slice(next));
        next.fill(0);
        Ok(key)
    }
}
