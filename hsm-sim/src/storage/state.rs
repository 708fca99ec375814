//! What a token keeps: its PINs and its objects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::token::object::Object;
use crate::token::pin::Pin;

/// Everything durable of one token.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// Token label.
    pub label: String,
    /// Serial number, drawn at initialisation.
    pub serial: String,
    /// The security officer's PIN.
    pub so_pin: Pin,
    /// The user's PIN, once set.
    pub user_pin: Option<Pin>,
    /// Handle of the next token object: never used twice.
    pub next_handle: u64,
    /// Token objects by handle.
    pub objects: BTreeMap<u64, Object>,
}
