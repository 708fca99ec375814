//! What every node does, whether it leads or not: it opens keys, knows the time and the public keys of its
//! deployment, drops what has expired, and looks at the HSM and at its claim.

pub mod clock;
pub mod entropy;
pub mod key_state;
pub mod key_uses;
mod state;
pub mod status;
pub mod upkeep;
pub mod verification_keys;
mod watch;

pub use state::NodeState;
pub use watch::Watch;
