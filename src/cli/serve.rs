use std::path::PathBuf;

use clap::Args;

use super::{Failure, app_failure, block_on, environment, output, warn_of_writers};
use crate::app::App;
use crate::app::memory;
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
        block_on(async {
            let app = App::open(&config, &self.config)
                .await
                .map_err(app_failure)?;
            let ready = async |address| {
                output::announce(format!("lethe ready https://{address}"));
                Ok(())
            };
            app.run(&config, ready).await.map_err(app_failure)
        })
    }
}
