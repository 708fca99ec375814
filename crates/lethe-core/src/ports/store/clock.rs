use async_trait::async_trait;

use super::StoreError;
use crate::clock::Mark;

/// The state of the clock.
#[async_trait]
pub trait ClockStore: Send + Sync {
    /// The state of the clock when it was last written down.
    async fn clock_mark(&self) -> Result<Mark, StoreError>;

    /// Writes down the state of the clock without its lag. Nothing changes if the store has a later
    /// time.
    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError>;

    /// Writes down a confirmed clock with its lag. The time never goes back.
    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError>;
}
