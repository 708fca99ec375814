/// The source of random bytes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source of random bytes failed")]
pub struct EntropyError;

/// A cryptographic source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// When the source fails; `bytes` are not to be used then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}
