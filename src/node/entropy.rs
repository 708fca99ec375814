//! Randomness: the generator of aws-lc, reseeded from the kernel.

use aws_lc_rs::rand;
use lethe_core::ports::{Entropy, EntropyError};

/// The process's random generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        rand::fill(bytes).map_err(|_| EntropyError)
    }
}
