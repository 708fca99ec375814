use std::path::PathBuf;
use std::time::Duration;

use super::check::{Extent, run};
use super::{all, report};
use crate::error::BenchError;
use crate::open_files;
use crate::output::{print, say};

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Attacks {
    /// Seconds that each attack takes, and as many before it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Attacks to try, by name; all of them without it
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Prints names and what each does, and attacks nothing
    #[arg(long)]
    list: bool,
    /// Times are shown and do not count: for machines that are busy with other things
    #[arg(long)]
    without_times: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Where the services' folders are made: a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
}

impl Attacks {
    /// Attacks and prints.
    ///
    /// # Errors
    /// [`BenchError`]: an attack that could not be tried, or a bound that was broken.
    pub(crate) fn run(&self) -> Result<(), BenchError> {
        let attacks = all();
        if self.list {
            return print(|out| {
                let mut attacks = attacks.iter();
                attacks.try_for_each(|it| writeln!(out, "{:<20} {}", it.name(), it.what()))
            });
        }
        let known = |name: &&String| attacks.iter().any(|it| it.name() == **name);
        if let Some(unknown) = self.only.iter().find(|name| !known(name)) {
            return Err(BenchError::Server(format!("no attack {unknown}")));
        }
        std::fs::create_dir_all(&self.work_dir).map_err(BenchError::io("the work folder"))?;
        open_files::raise();
        let extent = Extent {
            time: Duration::from_secs(self.seconds),
            times_count: !self.without_times,
        };
        let (mut outcomes, mut failed) = (Vec::new(), Vec::new());
        for attack in &attacks {
            if !self.only.is_empty() && !self.only.iter().any(|name| name == attack.name()) {
                continue;
            }
            say(format_args!("{}: {}", attack.name(), attack.what()));
            match run(&**attack, &self.work_dir, extent) {
                Ok(outcome) => {
                    if !outcome.broken.is_empty() {
                        failed.push(attack.name());
                    }
                    outcomes.push(outcome);
                }
                Err(error) => {
                    say(format_args!(
                        "{} could not be tried: {error}",
                        attack.name()
                    ));
                    failed.push(attack.name());
                }
            }
        }
        print(|out| match self.json {
            true => writeln!(out, "{:#}", serde_json::json!(outcomes)),
            false => report::print(out, &outcomes),
        })?;
        if failed.is_empty() {
            return Ok(());
        }
        let names = failed.join(", ");
        Err(BenchError::Server(format!("bounds were broken by {names}")))
    }
}
