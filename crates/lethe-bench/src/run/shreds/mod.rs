//! What shredding costs after a million earlier shreds, and what it costs the keys beside it.

mod alone;
mod beside;
mod busy;
mod database;
mod fill;
mod memory;
mod report;
mod sample;
mod site;
mod start;
mod targets;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::results::Results;
use super::{Output, runtime};
use crate::clock;
use crate::cpu::load_average;
use crate::error::BenchError;
use crate::load::Interval;
use crate::output::{print, say};
use fill::Point;
use sample::Sample;
use site::Site;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Shreds {
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Shreds in the store before measuring, at least 1,000
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    earlier_shreds: u64,
    /// Conversations for which keys are issued, for the service's memory; ten times the earlier
    /// shreds if not said
    #[arg(long)]
    conversations: Option<u64>,
    /// Seconds that each case is measured in each round; 4 if not said, or 2 for less than
    /// 100,000 earlier shreds
    #[arg(long)]
    seconds: Option<u64>,
    /// Rounds, of which medians are taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the service's folder is made: a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
}

/// What a run found.
#[derive(Default)]
struct Found {
    results: Results,
    curve: Vec<Point>,
    parts: Vec<Part>,
}

/// How long a part of the run took.
#[derive(Serialize)]
struct Part {
    name: &'static str,
    seconds: f64,
    /// Of the last minute: whoever else works on the machine spoils the figures.
    load_average: f64,
}

impl Shreds {
    /// Measures and prints.
    ///
    /// # Errors
    /// [`BenchError`], also for one wrong answer.
    pub(crate) fn run(&self) -> Result<(), BenchError> {
        let mut found = Found::default();
        runtime()?.block_on(self.measure(&mut found))?;
        print(|out| match self.output {
            Output::Table => report::print(out, &found),
            Output::Json => writeln!(out, "{:#}", report::json(&found)),
        })
    }

    async fn measure(&self, found: &mut Found) -> Result<(), BenchError> {
        std::fs::create_dir_all(&self.work_dir).map_err(BenchError::io("the work folder"))?;
        let mut site = Site::start(&self.work_dir).await?;
        let sample = Sample::issue(&site, self.earlier_shreds).await?;

        let begun = clock::now();
        fill::measure(&mut site, self.earlier_shreds, found).await?;
        found.took("filling the store, with the curve", begun);

        self.measure_filled(&mut site, found).await?;

        let begun = clock::now();
        sample.verify(&site.lethe()?.server.endpoint).await?;
        memory::note(&site, &mut found.results)?;
        let bytes = database::stop_and_measure(&mut site)?;
        database::note_at_end(&mut found.results, site.shredded, bytes);
        found.took("1,000 shredded and 1,000 other keys, stopping", begun);

        let begun = clock::now();
        start::measure(&site, &sample, self.rounds, &mut found.results).await?;
        found.took("starting, and the same keys", begun);
        Ok(())
    }

    /// With the memory as the fill left it.
    async fn measure_filled(&self, site: &mut Site, found: &mut Found) -> Result<(), BenchError> {
        let begun = clock::now();
        busy::measure(site, self.rounds, self.of_shreds(), &mut found.results).await?;
        found.took("shreds, busy", begun);

        let begun = clock::now();
        alone::measure(site, &mut found.results).await?;
        found.took("shreds, one alone", begun);

        let begun = clock::now();
        let (rounds, interval) = self.of_keys();
        beside::measure(site, rounds, interval, &mut found.results).await?;
        found.took("keys beside shreds", begun);

        let begun = clock::now();
        let conversations = self.conversations.unwrap_or(10 * self.earlier_shreds);
        memory::issue(site, conversations).await?;
        found.took("issuing for many conversations", begun);
        Ok(())
    }

    fn seconds(&self) -> Duration {
        let short = self.earlier_shreds < 100_000;
        Duration::from_secs(self.seconds.unwrap_or(if short { 2 } else { 4 }))
    }

    /// Twice as long: receipts come by the thousand, and the ends of an interval would show.
    fn of_shreds(&self) -> Interval {
        Interval {
            warm_up: Duration::from_secs(1),
            measured: self.seconds() * 2,
        }
    }

    /// Half as long, and so more rounds: two neighbours that are compared see the same machine.
    fn of_keys(&self) -> (u32, Interval) {
        let interval = Interval {
            warm_up: Duration::from_millis(300),
            measured: self.seconds() / 2,
        };
        (self.rounds * 2 - 1, interval)
    }
}

impl Found {
    fn took(&mut self, name: &'static str, begun: std::time::Instant) {
        let part = Part {
            name,
            seconds: (clock::now() - begun).as_secs_f64(),
            load_average: load_average(),
        };
        say(&part);
        self.parts.push(part);
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            seconds,
            load_average,
        } = self;
        write!(f, "{name}: {seconds:.1} s, load average {load_average:.1}")
    }
}
