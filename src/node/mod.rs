//! What every node does, whether it is the leader or not: it opens keys, keeps the time and the public keys of
//! its deployment, drops expired keys from memory, and checks the HSM and its claim.

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
pub use watch::ClaimWatch;
