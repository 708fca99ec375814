use async_trait::async_trait;

use super::StoreError;
use crate::clock::Mark;

/// Where the clock stood.
#[async_trait]
pub trait ClockStore: Send + Sync {
    /// Where the clock stood when it was written down last.
    async fn clock_mark(&self) -> Result<Mark, StoreError>;

    /// Writes down where the clock stands, but for its lag: nothing where a later time stands there.
    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError>;

    /// Writes down a confirmed clock with its lag; the time never sinks.
    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError>;
}
