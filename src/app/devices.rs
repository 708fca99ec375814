//! The HSMs that the configuration names.

use std::sync::Arc;

use lethe_core::hsm_move::{Devices, locate};
use lethe_core::ports::Store;
use lethe_pkcs11::{Pkcs11Config, Pkcs11Hsm};

use super::AppError;
use crate::config::Config;
use crate::leader::hsm_moves::{self, HsmMoves, MoveState};
use crate::observability::metrics::Metrics;

/// The HSMs of the configuration, and which of them holds the deployment.
pub(super) async fn open_devices(
    config: &Config,
    store: &dyn Store,
    metrics: &Metrics,
) -> Result<(Arc<Devices>, Arc<HsmMoves>), AppError> {
    let first = hsm_moves::open(&config.hsm, metrics).await?;
    let moves = HsmMoves::open(&config.hsm, config.hsm_next.as_ref(), metrics).await?;
    let located = locate(store, first, moves.opened()).await?;
    if located.at_second {
        let moving = located.devices.pair().is_some();
        moves.update(|progress| {
            progress.state = if moving {
                MoveState::Moving
            } else {
                MoveState::Moved
            };
        });
    }
    Ok((Arc::new(located.devices), Arc::new(moves)))
}

/// Loading a module and logging in may block.
pub(super) async fn open_hsm(config: &Config, last_pin_try: bool) -> Result<Pkcs11Hsm, AppError> {
    let config = Pkcs11Config {
        last_pin_try,
        ..config.hsm.pkcs11()?
    };
    let opened = tokio::task::spawn_blocking(move || Pkcs11Hsm::open(config)).await;
    Ok(opened.map_err(std::io::Error::other)??)
}

/// The number of objects that the HSM may hold to which new objects go.
pub(super) fn max_objects(config: &Config, moves: &HsmMoves) -> u64 {
    let next = match moves.progress().state {
        MoveState::Moving | MoveState::Moved => moves.next_max_objects(),
        MoveState::Unconfigured | MoveState::Ready => None,
    };
    next.unwrap_or(config.hsm.max_objects)
}
