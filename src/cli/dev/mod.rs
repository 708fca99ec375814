//! `lethe dev`: everything for development in one folder.

mod device;
mod files;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use lethe_core::duration::Span;
use lethe_core::keyspace::Policy;

use super::{Failure, app_failure, block_on, environment, output};
use crate::app::memory;
use crate::app::{self, App, AppError};
use crate::config::Config;
use crate::leader::{KeeperHandle, Settings};
use crate::node::NodeState;
use crate::observability::logging;

/// `lethe dev`
#[derive(Args)]
pub(super) struct Dev {
    /// The folder. Made if it is missing, used again if it is there.
    #[arg(long)]
    dir: PathBuf,
    /// Address of the API.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Address of health, readiness and metrics.
    #[arg(long, default_value = "127.0.0.1:8444")]
    ops_listen: SocketAddr,
}

impl Dev {
    pub(super) fn run(self) -> Result<(), Failure> {
        let protection = memory::protect();
        device::check_length(&self.dir)?;
        // The lock is taken before anything is written and held until the end, because another run
        // would overwrite the files.
        let _lock = files::lock(&self.dir)?;
        files::prepare(&self.dir, self.listen, self.ops_listen)?;
        let config = Config::load(&self.dir.join("lethe.toml"))?;
        environment::ensure(&config.environment())?;
        logging::start(&config.log).map_err(std::io::Error::other)?;
        protection.report();
        // The simulated HSM ends when this process ends, in whatever way.
        let device = device::Device::start(&self.dir, &config.hsm.token)?;
        let served = block_on(async { self.serve(&config).await.map_err(app_failure) });
        device.stop();
        served
    }

    async fn serve(&self, config: &Config) -> Result<(), AppError> {
        app::init(config, false).await?;
        let app = App::open(config, &self.dir.join("lethe.toml")).await?;
        let (node, keeper) = (app.node(), app.keeper());
        let mut keys = node.verification_keys.subscribe();
        files::write_verification_keys(&self.dir, &keys.borrow_and_update())?;
        let dir = self.dir.clone();
        tokio::spawn(async move {
            while keys.changed().await.is_ok() {
                let written = files::write_verification_keys(&dir, &keys.borrow_and_update());
                if let Err(error) = written {
                    tracing::warn!(%error, "the public keys were not written to pki/verify.pub");
                }
            }
        });
        app.run(config, async |address| {
            make_chat(&node, &keeper).await?;
            output::announce(format!("lethe ready https://{address}"));
            Ok(())
        })
        .await
    }
}

/// Makes the keyspace `chat` if it is missing.
async fn make_chat(node: &NodeState, keeper: &KeeperHandle) -> Result<(), AppError> {
    let name = "chat".parse().map_err(std::io::Error::other)?;
    if node.key_state.keyring().keyspaces.contains_key(&name) {
        return Ok(());
    }
    let seconds = Span::from_seconds;
    let policy = Policy::new(
        seconds(72 * 3_600),
        seconds(3_600),
        seconds(30 * 86_400),
        seconds(300),
    )
    .map_err(std::io::Error::other)?;
    keeper
        .put_keyspace(
            name,
            Settings {
                keyspace: None,
                policy: Some(policy),
                expected: None,
                minimum_version: None,
                approval: None,
            },
        )
        .await
        .map_err(std::io::Error::other)?;
    Ok(())
}
