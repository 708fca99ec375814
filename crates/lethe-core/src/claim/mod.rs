//! Which copy of a store the HSM belongs to. ADR 0006 has the reasons.
//!
//! The claim is a text in the HSM. It holds a nonce that the store holds too. Every start and every stop
//! draws a new nonce, so of two copies of a store one has an old nonce. If a start cannot know that the
//! process with the claim is dead, it puts a second object, the challenge, into the HSM. A process that
//! serves removes the challenge: that is its answer.

mod lease;
mod start;
mod text;

pub use lease::{CHECK_INTERVAL, Lease, check};
pub use start::{ANSWER_WAIT, Candidate, Challenge, confirm, examine, release};
pub(crate) use start::{first, seize};
pub use text::{Claim, State, StoreKind, StoreLocation};

use parking_lot::RwLock;

use crate::batch::Halt;

/// The claim that this process has taken; empty until it has taken one.
#[derive(Debug, Default)]
pub struct OwnClaim(RwLock<Option<String>>);

impl OwnClaim {
    /// The text of the claim as it is in the HSM.
    ///
    /// # Errors
    /// [`Halt::NoClaim`] if this process has not taken the claim yet.
    pub fn text(&self) -> Result<String, Halt> {
        self.0.read().clone().ok_or(Halt::NoClaim)
    }

    fn set(&self, text: String) {
        *self.0.write() = Some(text);
    }
}
