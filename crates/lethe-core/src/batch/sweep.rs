//! Step 7: destroy all other roots, and check that none is left.

use super::commit::Committed;
use super::read_back::Acknowledged;
use super::sign::Unsigned;
use super::{BatchError, Current, Halt, Ports, check_claim, destroy, roots};
use crate::erasure::AcceptedErasure;
use crate::identity::HsmKeyId;
use crate::ports::HsmKey;

/// A call that timed out may still make a root, so there is more than one round.
const MAX_ROUNDS: u32 = 4;

/// No other root of the deployment is in the HSM.
pub(super) struct Swept {
    pub(super) current: Current,
    pub(super) erasures: Vec<AcceptedErasure>,
    /// The ids of the destroyed roots; the root of the state before is first.
    pub(super) destroyed: Vec<HsmKeyId>,
    /// An earlier batch without a signature.
    pub(super) unsigned: Option<Unsigned>,
}

/// Checks that both own roots are in the HSM. If one is gone, another copy of the store is served, and nothing
/// may be destroyed.
fn check_own(roots: &[(HsmKey, u64)], own: [Option<HsmKey>; 2]) -> Result<(), Halt> {
    let lost = |own: &HsmKey| roots.iter().all(|(root, _)| root != own);
    match own.into_iter().flatten().find(lost) {
        None => Ok(()),
        Some(root) => Err(Halt::OwnRootGone(root.id.to_string())),
    }
}

impl Acknowledged {
    /// The present state without a sweep: the HSM may have other roots.
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

    /// Destroys all other roots, up to the epoch of this process, and checks that none is left.
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
        let mut destroyed: Vec<HsmKeyId> = replaced.iter().map(|root| root.id).collect();
        let mut rounds = 0;
        loop {
            let roots = roots(ports, deployment).await?;
            // After the list: a process that has taken the claim since makes roots that are not in it.
            check_claim(ports, deployment).await?;
            check_own(&roots, [Some(root), replaced.filter(|_| rounds == 0)])?;
            let mut others = roots.iter().filter(|(key, _)| key.id != root.id).peekable();
            let Some((first, _)) = others.peek() else {
                break;
            };
            rounds += 1;
            if rounds > MAX_ROUNDS || others.clone().any(|(_, of_epoch)| *of_epoch > epoch) {
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
