//! `/v1/root`

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Replaces the HSM's root now; what the service says of it. Role: operator. Not repeated by
    /// itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rotate_root(&self) -> Result<serde_json::Value, Error> {
        let path = "/v1/root/rotations".to_owned();
        self.order(path).await?.parse()
    }
}
