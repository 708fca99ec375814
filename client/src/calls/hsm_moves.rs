//! `/v1/hsm/moves`

use super::shreds::result_or_wait;
use crate::client::Client;
use crate::error::Error;

const PATH: &str = "/v1/hsm/moves";

impl Client {
    /// Begins to move everything to the other HSM of the service's configuration. Returns the service's
    /// answer when the move has begun. A move that is under way goes on. Role: operator.
    ///
    /// # Errors
    /// See [`Error`]. With [`ErrorCode::ApprovalRequired`](crate::ErrorCode::ApprovalRequired) it waits for
    /// a second operator.
    pub async fn move_hsm(&self) -> Result<serde_json::Value, Error> {
        result_or_wait(&self.repeatable_order(PATH.to_owned()).await?)
    }

    /// The progress of the move. Role: operator.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hsm_move(&self) -> Result<serde_json::Value, Error> {
        self.get(PATH.to_owned()).await?.parse()
    }
}
