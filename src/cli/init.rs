use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{Output, printable};
use super::{Failure, app_failure, block_on, environment, warn_of_writers};
use crate::app;
use crate::config::Config;
use crate::observability::logging;

/// `lethe init`
#[derive(Args)]
pub(super) struct Init {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
    /// Tries the PIN even if one more wrong PIN locks the token.
    #[arg(long)]
    last_pin_try: bool,
}

impl Init {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let config = Config::load(&self.config)?;
        environment::ensure(&config.environment())?;
        warn_of_writers(&config, &self.config, |who| {
            logging::say(&format!("lethe: warning: {}", printable(who)));
        })?;
        let done = block_on(async {
            app::init(&config, self.last_pin_try)
                .await
                .map_err(app_failure)
        })?;
        let (deployment, made) = (done.deployment.to_string(), done.made);
        let shown = json!({ "deployment": deployment, "made": made });
        let verb = if made {
            "initialised"
        } else {
            "was initialised before"
        };
        output.print(&shown, || format!("deployment {deployment} {verb}"))
    }
}
