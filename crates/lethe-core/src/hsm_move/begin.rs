use std::sync::Arc;

use super::{Devices, HsmMoveError, Pair, newest, newest_receipt_key, published_keys};
use crate::approval::ApprovalDecision;
use crate::batch::{BatchError, Halt, Ports, check_claim};
use crate::claim::Claim;
use crate::identity::DeploymentId;
use crate::ports::{
    ApprovalStore, ClaimKind, Effect, Hsm, HsmError, SigningPurpose, VerificationKey,
};
use crate::succession::{self, PublishedKey, Succession, signed_by, statement};

/// Begins a move to another HSM: claims the new HSM, makes signing keys there, has the old signing keys
/// endorse them, and writes all of this to the store, in one transaction with the approval if there is
/// one. From then on `devices` has both HSMs. A move that is under way stays as it is.
///
/// # Errors
/// [`HsmMoveError`]; after an error of the store a restart, or a second call, finds out whether the move has begun.
pub async fn begin(
    ports: &Ports,
    devices: &Devices,
    to: Arc<dyn Hsm>,
    approval: Option<(&dyn ApprovalStore, &ApprovalDecision)>,
) -> Result<(), HsmMoveError> {
    if devices.pair().is_some() {
        return Ok(());
    }
    let from = devices.newest();
    let deployment = ports.store.deployment().await?;
    let deployment = deployment.ok_or(BatchError::from(Halt::NotInitialised))?;
    let published = ports.store.signing_keys().await?;
    let pair = Pair { from, to };
    if ports.store.hsm_move().await?.is_some() {
        // The move has begun and the answer was lost: the newest key is in the HSM that it goes to.
        let held = pair.to.verification_keys(deployment).await?;
        let newest = newest_receipt_key(&published);
        if !held.iter().any(|key| Some(key.id) == newest) {
            return Err(BatchError::from(Halt::NoSigningKey).into());
        }
        devices.begin(pair);
        return Ok(());
    }
    check_claim(ports, deployment).await?;
    check_new(ports, &pair, deployment, &published).await?;
    let claim = ports.claim.text().map_err(BatchError::from)?;
    pair.to
        .set_claim(deployment, ClaimKind::Held, &claim)
        .await?;
    let keys = successors(ports, &pair, deployment).await?;
    match approval {
        None => ports.store.begin_hsm_move(&keys).await?,
        Some((store, given)) => {
            let approved = store.approve(given, Effect::HsmMove(&keys)).await?;
            approved.ok_or(HsmMoveError::NotWaiting)?;
        }
    }
    devices.begin(pair);
    Ok(())
}

/// The new HSM may only hold what an earlier try of this move left there.
async fn check_new(
    ports: &Ports,
    pair: &Pair,
    deployment: DeploymentId,
    published: &[PublishedKey],
) -> Result<(), HsmMoveError> {
    let held = pair.to.verification_keys(deployment).await?;
    let before = pair.from.verification_keys(deployment).await?;
    if held.iter().any(|key| before.contains(key)) {
        return Err(HsmMoveError::SameDevice);
    }
    if held
        .iter()
        .any(|key| published.iter().any(|it| it.key == *key))
    {
        return Err(HsmMoveError::NotEmpty(held.len()));
    }
    let ours = ports.claim.text().map_err(BatchError::from)?;
    let store_of = |text: &str| text.parse().map(|claim: Claim| claim.store).ok();
    let ours = store_of(&ours);
    for (deployment_there, store) in pair.to.claims().await? {
        if deployment_there != deployment {
            return Err(HsmMoveError::OtherDeployment(deployment_there));
        }
        // The same store made the claim in an earlier try.
        if store_of(&store).is_none() || store_of(&store) != ours {
            return Err(HsmMoveError::OtherStore(store));
        }
    }
    match pair.to.keys(deployment).await?.len() {
        0 => Ok(()),
        keys => Err(HsmMoveError::NotEmpty(keys)),
    }
}

/// All published keys, and for each purpose a successor in the new HSM.
async fn successors(
    ports: &Ports,
    pair: &Pair,
    deployment: DeploymentId,
) -> Result<Vec<PublishedKey>, HsmMoveError> {
    let from = pair.from.as_ref();
    let mut keys = published_keys(ports.store.as_ref(), from, deployment).await?;
    let held = from.verification_keys(deployment).await?;
    let before = keys.clone();
    for purpose in [SigningPurpose::Receipt, SigningPurpose::Checkpoint] {
        let predecessor = newest(&before, &held, purpose);
        let predecessor = predecessor.ok_or(BatchError::from(Halt::NoSigningKey))?;
        let key = only_key(pair.to.as_ref(), deployment, purpose).await?;
        let statement = statement(predecessor.id, &key);
        // A device whose signatures do not verify cannot sign receipts.
        let signature = pair.to.sign(key.id, &statement).await?;
        if !signed_by(&key, &statement, &signature) {
            return Err(HsmMoveError::BadSignature);
        }
        let endorsement = from.sign(predecessor.id, &statement).await?;
        let predecessor = predecessor.id;
        let succession = Some(Succession {
            predecessor,
            endorsement,
        });
        keys.push(PublishedKey { key, succession });
    }
    succession::check(&keys).map_err(|_| HsmMoveError::BadSignature)?;
    Ok(keys)
}

/// The only signing key of a purpose in the new HSM. An earlier try may have left one key, several keys,
/// or half of a key pair: one key that signs stays, the others are destroyed.
async fn only_key(
    to: &dyn Hsm,
    deployment: DeploymentId,
    purpose: SigningPurpose,
) -> Result<VerificationKey, HsmError> {
    let mut held = to.verification_keys(deployment).await?;
    held.retain(|key| key.purpose == purpose);
    held.sort_unstable_by_key(|key| key.id);
    let mut kept = None;
    for key in held {
        // The signed statement is harmless: the key endorses itself.
        match to.sign(key.id, &statement(key.id, &key)).await {
            Ok(_) => {
                kept = Some(key);
                break;
            }
            Err(HsmError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    for (id, of) in to.signing_pairs(deployment).await? {
        if of == purpose && kept.as_ref().is_none_or(|key| key.id != id) {
            to.destroy_signing_pair(deployment, id, purpose).await?;
        }
    }
    match kept {
        Some(key) => Ok(key),
        None => to.create_signing_key(deployment, purpose).await,
    }
}
