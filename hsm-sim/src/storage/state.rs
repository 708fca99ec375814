//! What a token keeps: its PINs and its objects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::token::object::Object;
use crate::token::pin::Pin;

/// Everything durable of one token.
pub struct State {
    /// All of the token except its objects.
    pub header: Header,
    /// Token objects by handle.
    pub objects: BTreeMap<u64, Object>,
}

/// What a token is, apart from its objects.
#[derive(Serialize, Deserialize)]
pub struct Header {
    /// Token label.
    pub label: String,
    /// Serial number, drawn at initialisation.
    pub serial: String,
    /// The security officer's PIN.
    pub so_pin: Pin,
    /// The user's PIN, once set.
    pub user_pin: Option<Pin>,
    /// Every handle ever given out is below. Handles are reserved many at a time, so that not
    /// every new object costs a write of the header.
    pub handles_end: u64,
}
