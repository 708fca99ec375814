use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, app_failure, block_on, environment, output, warn_of_writers};
use crate::app::memory;
use crate::app::{App, AppError};
use crate::config::Config;
use crate::observability::logging;

/// `lethe serve`
#[derive(Args)]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let protection = memory::protect();
        let config = Config::load(&self.config)?;
        environment::ensure(&config.environment())?;
        logging::start(&config.log).map_err(std::io::Error::other)?;
        protection.report();
        warn_of_writers(&config, &self.config, |who| tracing::warn!("{who}"))?;
        let served = block_on(async { Ok(self.serve(&config).await) })?;
        match served {
            // Nothing of what this process knows stays.
            Err(AppError::Superseded(why)) => {
                tracing::warn!("{why}: starting again, to wait as a spare");
                logging::flush();
                environment::start_again(&BTreeMap::new())
            }
            Err(AppError::Stopped) => Ok(()),
            served => served.map_err(app_failure),
        }
    }

    async fn serve(&self, config: &Config) -> Result<(), AppError> {
        let app = App::open(config, &self.config).await?;
        app.run(config, async |address| {
            output::announce(format!("lethe ready https://{address}"));
            Ok(())
        })
        .await
    }
}
