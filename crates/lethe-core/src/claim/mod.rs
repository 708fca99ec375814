//! Which of all copies of a store the HSM belongs to. ADR 0006.
//!
//! The claim is a text in the HSM. It bears a nonce that the store holds as well, and that every start
//! and every stop draw anew: of two copies one falls behind. Where a start cannot know that the holder
//! of the claim is dead it asks, by another object in the HSM, and whoever serves answers.

mod lease;
mod start;
mod text;

pub use lease::{LOOK, Lease, look};
pub use start::{Asked, Candidate, WAIT, confirm, examine, release};
pub(crate) use start::{first, seize};
pub use text::{Claim, Place, State};

use parking_lot::RwLock;

use crate::batch::Halt;

/// The claim that this process has taken; none before.
#[derive(Debug, Default)]
pub struct OwnClaim(RwLock<Option<String>>);

impl OwnClaim {
    /// The text in the HSM.
    ///
    /// # Errors
    /// [`Halt::NoClaim`] before it is taken.
    pub fn text(&self) -> Result<String, Halt> {
        self.0.read().clone().ok_or(Halt::NoClaim)
    }

    fn set(&self, text: String) {
        *self.0.write() = Some(text);
    }
}
