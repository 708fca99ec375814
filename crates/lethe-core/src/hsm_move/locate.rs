use std::sync::Arc;

use super::{Devices, Pair, newest_receipt_key};
use crate::batch::{BatchError, Halt};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{ClaimKind, Hsm, HsmError, HsmMove, Store};

/// An HSM of the configuration, open or not.
pub type Opened = Result<Arc<dyn Hsm>, HsmError>;

/// Where the deployment's keys are.
pub struct Located {
    /// The HSM, or both.
    pub devices: Devices,
    /// The second of the configuration holds them, or some of them.
    pub at_second: bool,
}

/// Finds out which HSM of the configuration holds the deployment: the one with the newest of the
/// published signing keys; the first when it never moved.
///
/// # Errors
/// [`Halt`] when the configuration does not name the HSMs that it takes; what kept an HSM that is
/// needed from opening.
pub async fn locate(
    store: &dyn Store,
    first: Opened,
    second: Option<Opened>,
) -> Result<Located, BatchError> {
    let at = |hsm, at_second| Located {
        devices: Devices::at(hsm),
        at_second,
    };
    let newest = newest_receipt_key(&store.signing_keys().await?);
    let (Some(newest), Some(deployment)) = (newest, store.deployment().await?) else {
        return Ok(at(first?, false));
    };
    let under_way = store.hsm_move().await?;
    if let Ok(hsm) = &first
        && holds(hsm, deployment, newest).await?
    {
        return match under_way {
            None => Ok(at(Arc::clone(hsm), false)),
            Some(_) => Err(Halt::MoveUnfinished.into()),
        };
    }
    let Some(second) = second else {
        first?;
        return Err(match under_way {
            None => Halt::MovedAway,
            Some(_) => Halt::MoveUnfinished,
        }
        .into());
    };
    let to = second?;
    if !holds(&to, deployment, newest).await? {
        first?;
        return Err(Halt::MovedAway.into());
    }
    let Some(under_way) = under_way else {
        return Ok(at(to, true));
    };
    let from = first?;
    // Another device in the old one's place would be found empty, and the old one never emptied.
    if under_way == HsmMove::UnderWay && from.claim(deployment, ClaimKind::Held).await?.is_empty() {
        return Err(Halt::MoveUnfinished.into());
    }
    let pair = Pair { from, to };
    Ok(Located {
        devices: Devices::between(pair),
        at_second: true,
    })
}

async fn holds(
    hsm: &Arc<dyn Hsm>,
    deployment: DeploymentId,
    key: HsmKeyId,
) -> Result<bool, HsmError> {
    let keys = hsm.verification_keys(deployment).await?;
    Ok(keys.iter().any(|held| held.id == key))
}
