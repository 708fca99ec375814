//! Step 7: destroy every other root, and make sure that none is left.

use super::commit::Committed;
use super::read_back::Acknowledged;
use super::sign::Unsigned;
use super::{BatchError, Current, Halt, Ports, check_claim, destroy, roots};
use crate::erasure::AcceptedErasure;
use crate::identity::HsmKeyId;
use crate::ports::HsmKey;

/// A root of ours may yet be born: of a call that was given up on. Not again and again.
const ROUNDS: u32 = 4;

/// No other root of the deployment is in the HSM.
pub(super) struct Swept {
    pub(super) current: Current,
    pub(super) erasures: Vec<AcceptedErasure>,
    /// Root ids that are gone, that of the state before first.
    pub(super) destroyed: Vec<HsmKeyId>,
    /// A batch that is still to be signed.
    pub(super) unsigned: Option<Unsigned>,
}

/// Nothing is destroyed by who has lost a root of its own: another copy of the store has gone on.
fn check_own(roots: &[(HsmKey, u64)], own: [Option<HsmKey>; 2]) -> Result<(), Halt> {
    let lost = |own: &HsmKey| roots.iter().all(|(root, _)| root != own);
    match own.into_iter().flatten().find(lost) {
        None => Ok(()),
        Some(root) => Err(Halt::OwnRootGone(root.id.to_string())),
    }
}

impl Acknowledged {
    /// The state as it is, with other roots beside its own.
    pub(super) fn unswept(self) -> Current {
        let Self {
            committed,
            directory,
        } = self;
        Current {
            deployment: committed.deployment,
            epoch: committed.epoch,
            sequence: committed.sequence,
            signing_key: committed.signing_key,
            root: Some(committed.root),
            directory,
        }
    }

    /// Destroys every other root up to our epoch, and makes sure that none is left.
    pub(super) async fn sweep(self, ports: &Ports) -> Result<Swept, BatchError> {
        let Self {
            committed,
            directory,
        } = self;
        let Committed {
            deployment,
            epoch,
            sequence,
            signing_key,
            root,
            replaced,
            erasures,
            unsigned,
            ..
        } = committed;
        check_claim(ports, deployment).await?;
        let mut destroyed: Vec<HsmKeyId> = replaced.iter().map(|root| root.id).collect();
        let mut rounds = 0;
        loop {
            let roots = roots(ports, deployment).await?;
            check_own(&roots, [Some(root), replaced.filter(|_| rounds == 0)])?;
            let mut others = roots.iter().filter(|(key, _)| key.id != root.id).peekable();
            let Some((first, _)) = others.peek() else {
                break;
            };
            rounds += 1;
            if rounds > ROUNDS || others.clone().any(|(_, of_epoch)| *of_epoch > epoch) {
                return Err(Halt::ForeignRoot(first.id.to_string()).into());
            }
            for (other, _) in others {
                destroy(ports, *other).await?;
                if !destroyed.contains(&other.id) {
                    destroyed.push(other.id);
                }
            }
        }
        let current = Current {
            deployment,
            epoch,
            sequence,
            signing_key,
            root: Some(root),
            directory,
        };
        Ok(Swept {
            current,
            erasures,
            destroyed,
            unsigned,
        })
    }
}
