//! `/v1/hsm/moves`

use crate::client::Client;
use crate::error::Error;

const PATH: &str = "/v1/hsm/moves";

impl Client {
    /// Moves everything to the other HSM of the service's configuration; what the service says of it
    /// once that has begun. Role: operator. A move that is under way goes on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn move_hsm(&self) -> Result<serde_json::Value, Error> {
        self.repeatable_order(PATH.to_owned()).await?.parse()
    }

    /// How far that is. Role: operator.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hsm_move(&self) -> Result<serde_json::Value, Error> {
        self.get(PATH.to_owned()).await?.parse()
    }
}
