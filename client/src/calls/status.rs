//! `/v1/status`

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// What `lethe status` shows, as the service sends it. Role: operator or auditor.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<serde_json::Value, Error> {
        self.get("/v1/status".into()).await?.parse()
    }
}
