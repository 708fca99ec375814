//! What every node does: it opens keys, and knows the time and the public keys of its deployment.

pub mod clock;
pub mod entropy;
pub mod key_state;
pub mod key_uses;
mod state;
pub mod status;
pub mod verification_keys;

pub use state::NodeState;
