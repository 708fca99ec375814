//! `/v1/clock`

use super::shreds::result_or_wait;
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Confirms that the service's wall clock is right, although it jumped. Returns the service's
    /// answer. Role: operator. The client does not repeat this call: the clock may have jumped again.
    ///
    /// # Errors
    /// See [`Error`]. With [`ErrorCode::ApprovalRequired`](crate::ErrorCode::ApprovalRequired) it waits for
    /// a second operator.
    pub async fn confirm_clock(&self) -> Result<serde_json::Value, Error> {
        let path = "/v1/clock/confirmations".to_owned();
        result_or_wait(&self.order(path).await?)
    }
}
