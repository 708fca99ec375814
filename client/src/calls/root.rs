//! `/v1/root`

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Replaces the root in the HSM now. Returns the service's answer. Role: operator. The client does
    /// not repeat this call.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rotate_root(&self) -> Result<serde_json::Value, Error> {
        let path = "/v1/root/rotations".to_owned();
        self.order(path).await?.parse()
    }
}
