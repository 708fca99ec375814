//! What a shred would forget.

use std::sync::Arc;

use super::{KeyError, Keyring, LiveKeyspace, LiveVersion};
use crate::conversation::ConversationId;
use crate::erasure::ShredLeaf;
use crate::grid::Generation;
use crate::refusals::{Refusal, Target};
use crate::tree::GENERATIONS;

impl Keyring {
    /// What a shred of the conversation forgets now: its current generation in each live version.
    /// A generation whose shred is accepted, and after which nothing was issued, is joined.
    ///
    /// # Errors
    /// [`KeyError::UsedUp`], [`KeyError::Pending`]; after [`KeyError::Missing`] ask again.
    pub fn shred_leaves(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
    ) -> Result<Vec<ShredLeaf>, KeyError> {
        let leaf = |version: &Arc<LiveVersion>| {
            let current = self.current_generation(version, conversation);
            let joined = match &current {
                Ok(generation) => self.joined(version, conversation, generation.number().into()),
                Err(KeyError::UsedUp) => self.joined(version, conversation, GENERATIONS),
                Err(_) => None,
            };
            let generation = joined.map_or(current, Ok)?;
            Ok(ShredLeaf {
                version: version.tree.version,
                generation,
                address: version.address_key.address(conversation, generation),
            })
        };
        keyspace.versions.iter().map(leaf).collect()
    }

    /// The generation before `next`, where its shred still runs and the conversation has not gone on.
    fn joined(
        &self,
        version: &LiveVersion,
        conversation: &ConversationId,
        next: u32,
    ) -> Option<Generation> {
        let before = u16::try_from(next.checked_sub(1)?).ok()?;
        let before = Generation::new(before);
        let address = version.address_key.address(conversation, before);
        let refusal = self.refusals.get(Target::Leaf(version.leaf(address)));
        (refusal == Some(Refusal::Accepted { reissued: false })).then_some(before)
    }
}
