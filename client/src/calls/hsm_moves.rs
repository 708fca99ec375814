//! `/v1/hsm/moves`

use super::shreds::result_or_wait;
use crate::client::Client;
use crate::error::Error;

const PATH: &str = "/v1/hsm/moves";

impl Client {
    /// Moves everything to the other HSM of the service's configuration; what the service says of it
    /// once that has begun. Role: operator. A move that is under way goes on.
    ///
    /// # Errors
    /// See [`Error`]. With [`ErrorCode::ApprovalRequired`](crate::ErrorCode::ApprovalRequired) it waits for
    /// a second operator.
    pub async fn move_hsm(&self) -> Result<serde_json::Value, Error> {
        result_or_wait(&self.repeatable_order(PATH.to_owned()).await?)
    }

    /// How far that is. Role: operator.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hsm_move(&self) -> Result<serde_json::Value, Error> {
        self.get(PATH.to_owned()).await?.parse()
    }
}
