use std::collections::HashSet;

use super::{Devices, Pair, newest_receipt_key};
use crate::batch::{BatchError, Halt, Ports, check_ours};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{ClaimKind, Hsm, HsmError, Strength};

/// Calls that timed out may still make keys, so the HSM is emptied in more than one round.
const ROUNDS: u32 = 4;

/// The last step of a move. When the new HSM holds every key that the store names, this destroys what the
/// old HSM still holds of the deployment, checks that it is gone, and removes the claim last. Returns
/// false if a key is still to be moved: then nothing was destroyed.
///
/// # Errors
/// [`BatchError`]; it can be called again.
pub async fn empty(
    ports: &Ports,
    devices: &Devices,
    deployment: DeploymentId,
) -> Result<bool, BatchError> {
    let Some(Pair { from, to }) = devices.pair() else {
        return Ok(true);
    };
    check_ours(ports, deployment).await?;
    if !holds_everything(ports, to.as_ref(), deployment).await? {
        return Ok(false);
    }
    empty_of_keys(from.as_ref(), deployment).await?;
    empty_of_signing_pairs(from.as_ref(), deployment).await?;
    ports.store.hsm_is_emptied().await?;
    from.remove_claim(deployment, ClaimKind::Wanted).await?;
    from.remove_claim(deployment, ClaimKind::Held).await?;
    ports.store.finish_hsm_move().await?;
    devices.finish();
    Ok(true)
}

/// Whether the new HSM holds the root, the keys of all buckets and the signing key that the store names.
async fn holds_everything(
    ports: &Ports,
    to: &dyn Hsm,
    deployment: DeploymentId,
) -> Result<bool, BatchError> {
    ports.store.barrier(Strength::Destroying).await?;
    let keys = to.keys(deployment).await?;
    let held: HashSet<HsmKeyId> = keys.iter().map(|key| key.id).collect();
    let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
    let buckets = ports.store.buckets().await?;
    let signing_key = newest_receipt_key(&ports.store.signing_keys().await?);
    let signing_keys = to.verification_keys(deployment).await?;
    let signs = signing_keys.iter().any(|key| Some(key.id) == signing_key);
    let all = buckets.iter().all(|row| held.contains(&row.key));
    Ok(signs && all && held.contains(&meta.share.root))
}

async fn empty_of_keys(from: &dyn Hsm, deployment: DeploymentId) -> Result<(), HsmError> {
    for _ in 0..ROUNDS {
        let keys = from.keys(deployment).await?;
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            match from.destroy(key).await {
                Ok(()) | Err(HsmError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(not_emptied())
}

async fn empty_of_signing_pairs(from: &dyn Hsm, deployment: DeploymentId) -> Result<(), HsmError> {
    for _ in 0..ROUNDS {
        let pairs = from.signing_pairs(deployment).await?;
        if pairs.is_empty() {
            return Ok(());
        }
        for (id, purpose) in pairs {
            from.destroy_signing_pair(deployment, id, purpose).await?;
        }
    }
    Err(not_emptied())
}

fn not_emptied() -> HsmError {
    HsmError::Device("the old HSM still lists keys that it has destroyed".into())
}
