//! The leaves that a shred destroys.

use std::sync::Arc;

use super::{KeyError, Keyring, LiveKeyspace, LiveVersion};
use crate::conversation::ConversationId;
use crate::erasure::ShredLeaf;
use crate::grid::Generation;
use crate::refusals::{Refusal, Target};
use crate::tree::GENERATIONS;

impl Keyring {
    /// The leaves of a shred: the current generation of the conversation in each live version. If the shred of
    /// the generation before is accepted and no key was issued since, the new shred joins it.
    ///
    /// # Errors
    /// [`KeyError::UsedUp`], [`KeyError::Pending`]; after [`KeyError::Missing`] load the page and call again.
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

    /// The generation before `next`, if its shred is accepted and no key was issued since.
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
