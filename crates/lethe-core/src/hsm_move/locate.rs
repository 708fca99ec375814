use std::sync::Arc;

use super::{Devices, Pair, newest_receipt_key};
use crate::batch::{BatchError, Halt};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{ClaimKind, Hsm, HsmError, HsmMove, Store};

/// An HSM of the configuration, or why it did not open.
pub type Opened = Result<Arc<dyn Hsm>, HsmError>;

/// The HSM or HSMs that hold the deployment's keys.
pub struct Located {
    /// One HSM, or both during a move.
    pub devices: Devices,
    /// Whether the second HSM of the configuration holds keys.
    pub at_second: bool,
}

/// Finds out which HSM of the configuration holds the deployment: the one with the newest published
/// signing key. A deployment that never moved is in the first HSM.
///
/// # Errors
/// [`Halt`] when the configuration does not name the HSMs that are needed; the error of an HSM that is
/// needed and did not open.
pub async fn locate(
    store: &dyn Store,
    first: Opened,
    second: Option<Opened>,
) -> Result<Located, BatchError> {
    let at = |hsm, at_second| Located {
        devices: Devices::single(hsm),
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
    // If another device stands in place of the old HSM it is empty, and the old HSM keeps its keys.
    if under_way == HsmMove::UnderWay && from.claim(deployment, ClaimKind::Held).await?.is_empty() {
        return Err(Halt::MoveUnfinished.into());
    }
    let pair = Pair { from, to };
    Ok(Located {
        devices: Devices::migrating(pair),
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
