use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{Output, ask, printable};
use super::{Failure, app_failure, block_on, environment, warn_of_writers};
use crate::app::memory;
use crate::app::takeover::{Prepared, TakenOver, Takeover as Ready, prepare};
use crate::config::Config;
use crate::observability::logging;

/// `lethe takeover`
#[derive(Args)]
pub(super) struct Takeover {
    /// The configuration file, on the machine that the store was moved to.
    #[arg(long)]
    config: PathBuf,
    /// Does not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// This is the very database that was served last, and its service was cut off in the middle of
    /// its work.
    #[arg(long)]
    interrupted: bool,
}

impl Takeover {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let protection = memory::protect();
        let config = Config::load(&self.config)?;
        environment::ensure(&config.environment())?;
        logging::start(&config.log).map_err(std::io::Error::other)?;
        protection.report();
        warn_of_writers(&config, &self.config, |who| tracing::warn!("{who}"))?;
        block_on(self.take_over(&config, output))
    }

    async fn take_over(&self, config: &Config, output: Output) -> Result<(), Failure> {
        let ready = match prepare(config, self.interrupted)
            .await
            .map_err(app_failure)?
        {
            Prepared::Ready(ready) => ready,
            Prepared::Ours { deployment } => {
                let shown = json!({ "deployment": deployment, "taken_over": false });
                return output.print(&shown, || {
                    format!("deployment {deployment} is claimed by this store: nothing to do")
                });
            }
        };
        self.confirm(&warning(&ready))?;
        let done = ready.carry_out().await.map_err(app_failure)?;
        print_result(&done, output)
    }

    fn confirm(&self, warning: &str) -> Result<(), Failure> {
        if self.yes {
            warning
                .lines()
                .for_each(|line| logging::say(&printable(line)));
            return Ok(());
        }
        if !stdin().is_terminal() {
            warning
                .lines()
                .for_each(|line| logging::say(&printable(line)));
            return Err(Failure::new(
                "nothing was done: say --yes, or ask at a terminal",
            ));
        }
        match ask(&format!("{warning}\nType takeover to go on: "))?.as_str() {
            "takeover" => Ok(()),
            _ => Err(Failure::new("nothing was done")),
        }
    }
}

fn warning(ready: &Ready) -> String {
    let record = if ready.will_be_recorded() {
        ""
    } else {
        "\nThe audit folder is not here: only this program's log will show it."
    };
    format!(
        "The HSM is claimed by  {}\nand would be by        {}\n\
         From then on no copy of the database but this one opens: not the one at the old place, and no \
         backup. A service that still runs there halts. Never start it again; if its database is newer \
         than this one, what was issued or changed in between is lost.\nThe old place: {}.{record}",
        ready.from(),
        ready.to(),
        ready.old_place(),
    )
}

fn print_result(done: &TakenOver, output: Output) -> Result<(), Failure> {
    let recorded = done.recorded.clone();
    let shown = json!({ "deployment": done.deployment, "taken_over": true, "from": done.from,
        "to": done.to, "sequence": done.sequence, "recorded": recorded == Ok(true) });
    output.print(&shown, || {
        format!(
            "deployment {} is claimed by {} now",
            done.deployment, done.to
        )
    })?;
    recorded
        .map(|_| ())
        .map_err(|error| Failure::new(format!("it was taken over, but is not on record: {error}")))
}
