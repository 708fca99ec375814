use super::{BatchError, Ports, Reader, check_claim, roots};

/// The number of a process that may run batches (`docs/design.md#epochs`). Only a process that holds the claim
/// gets one, and each recovery needs one.
#[derive(Debug)]
pub struct Epoch(pub(super) u64);

impl Epoch {
    /// One more than the highest in the store and in the labels of the roots in the HSM: the store may have
    /// been put back to an earlier state.
    ///
    /// # Errors
    /// A [`Halt`](super::Halt) if the claim is not that of this process; else those of the ports.
    pub async fn next(ports: &Ports) -> Result<Self, BatchError> {
        let reader = Reader::of(ports);
        let deployment = reader.deployment().await?;
        let meta = reader.meta().await?;
        check_claim(ports, deployment).await?;
        let roots = roots(ports, deployment).await?;
        let newest = roots.iter().map(|(_, epoch)| *epoch).max().unwrap_or(0);
        Ok(Self(newest.max(meta.epoch).saturating_add(1)))
    }
}
