//! What `lethe init` does: prepares an empty store and an HSM. If it is interrupted it can be run
//! again.

use async_trait::async_trait;

use crate::batch::{BatchError, Current, Halt, LeaseHolders, NewState, Node, Ports};
use crate::claim::Claim;
use crate::identity::DeploymentId;
use crate::page_cache::{CacheLimits, PageCache};
use crate::ports::{ClaimKind, SigningPurpose};

/// The result of an initialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initialised {
    /// The deployment's id.
    pub deployment: DeploymentId,
    /// Whether anything was made; false if all was there before.
    pub made: bool,
}

/// No lease holders: nobody serves keys before the first batch, and while a store is taken over.
pub(crate) struct Nobody;

#[async_trait]
impl LeaseHolders for Nobody {
    async fn advance(&self, _: NewState<'_>) -> Result<(), BatchError> {
        Ok(())
    }
}

/// Makes the deployment id, the claim, the signing keys and the first root, in this order. What exists
/// stays.
///
/// # Errors
/// [`Halt::ForeignClaim`] when the HSM names another store for this deployment; else those of the
/// ports.
pub async fn initialise(ports: &Ports) -> Result<Initialised, BatchError> {
    let deployment = deployment(ports).await?;
    if ports.store.meta().await?.is_some() {
        return Ok(Initialised {
            deployment,
            made: false,
        });
    }
    claim(ports, deployment).await?;
    signing_keys(ports, deployment).await?;
    let node = Node {
        ports,
        pages: &PageCache::new(CacheLimits::default()),
        holders: &Nobody,
    };
    Current::first(node, deployment).await?;
    Ok(Initialised {
        deployment,
        made: true,
    })
}

async fn deployment(ports: &Ports) -> Result<DeploymentId, BatchError> {
    if let Some(deployment) = ports.store.deployment().await? {
        return Ok(deployment);
    }
    let mut bytes = [0; 16];
    ports.entropy.fill(&mut bytes)?;
    let drawn = DeploymentId::from_bytes(bytes);
    ports.store.set_deployment(drawn).await?;
    Ok(drawn)
}

/// Sets the claim, also if an interrupted try has set it. Nobody serves yet, so it is free for the
/// first start.
async fn claim(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    let seat = ports.store.seat().await?;
    let ours = |text: &String| {
        let claim: Option<Claim> = text.parse().ok();
        claim
            .zip(seat)
            .is_some_and(|(claim, seat)| claim.is_of(&seat))
    };
    let claims = ports.hsm.claim(deployment, ClaimKind::Held).await?;
    match claims.into_iter().find(|text| !ours(text)) {
        Some(claimed) => Err(Halt::ForeignClaim {
            claimed,
            ours: ports.store.location().path.clone(),
        }
        .into()),
        None => crate::claim::first(ports, deployment).await,
    }
}

async fn signing_keys(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    let present = ports.hsm.verification_keys(deployment).await?;
    for purpose in [SigningPurpose::Receipt, SigningPurpose::Checkpoint] {
        if !present.iter().any(|key| key.purpose == purpose) {
            ports.hsm.create_signing_key(deployment, purpose).await?;
        }
    }
    Ok(())
}
