//! What operators do while keys are issued and unwrapped: rotating keyspaces and the root, and
//! bringing wrapped keys to the newest version.

mod rewrap;
mod rotation;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::results::{Results, median};
use super::targets::{Bound, Target, target};
use super::{Output, runtime, table};
use crate::error::BenchError;
use crate::load::Tail;
use crate::output::{print, say};
use crate::peers::{Lethe, Method, call};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Operate {
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Requests a second beside the rotations
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Seconds that each case is measured in each round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Rounds, of which medians are taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Keys that are rewrapped, in thousands
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    thousands: u64,
    /// Where the service's folder is made: a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
}

/// What a run found.
#[derive(Default)]
struct Found {
    results: Results,
    rounds: Vec<Round>,
}

/// Of one case, in one round.
#[derive(Serialize)]
struct Round {
    name: &'static str,
    /// Rotations meanwhile.
    rotations: u32,
    #[serde(flatten)]
    tail: Tail,
}

const ALONE: &str = "issue and unwrap alone";
const KEYSPACE: &str = "while the keyspace is rotated";
const ROOT: &str = "while the root is rotated";
const REWRAP: &str = "keys rewrapped a second";
const FAILED: &str = "requests that failed";

const TARGETS: &[Target] = &[
    target(
        "requests that failed beside rotations",
        Bound::AtMost(0.0),
        |r| r.single(FAILED),
    ),
    target("keys rewrapped a second", Bound::AtLeast(50_000.0), |r| {
        r.single(REWRAP)
    }),
];

impl Operate {
    /// Measures and prints.
    ///
    /// # Errors
    /// [`BenchError`], also for one wrong key.
    pub(crate) fn run(&self) -> Result<(), BenchError> {
        let mut found = Found::default();
        runtime()?.block_on(self.measure(&mut found))?;
        print(|out| match self.output {
            Output::Table => found.print(out),
            Output::Json => writeln!(out, "{:#}", found.json()),
        })
    }

    async fn measure(&self, found: &mut Found) -> Result<(), BenchError> {
        std::fs::create_dir_all(&self.work_dir).map_err(BenchError::io("the work folder"))?;
        let folder = tempfile::Builder::new()
            .prefix("lethe-bench-")
            .tempdir_in(&self.work_dir)
            .map_err(BenchError::io("the service's folder"))?;
        let path = folder.path().canonicalize();
        let path = path.map_err(BenchError::io("the service's folder"))?;
        let lethe = Lethe::start(&path)?;
        let measured = Duration::from_secs(self.seconds);
        for round in 1..=self.rounds {
            for case in [ALONE, KEYSPACE, ROOT] {
                say(format_args!("round {round} of {}: {case}", self.rounds));
                let keyspace = format!("bench-{}", found.rounds.len());
                put(&lethe, &keyspace).await?;
                let measured = rotation::measure(&lethe, case, &keyspace, self.rate, measured);
                found.rounds.push(measured.await?);
            }
        }
        let failed: u64 = found.rounds.iter().map(|round| round.tail.failed).sum();
        found.results.note(FAILED, failed as f64);
        say(format_args!("rewrapping {} keys", self.thousands * 1_000));
        put(&lethe, rewrap::KEYSPACE).await?;
        let rate = rewrap::measure(&lethe, &path, self.thousands * 1_000).await?;
        found.results.note(REWRAP, rate);
        Ok(())
    }
}

async fn put(lethe: &Lethe, keyspace: &str) -> Result<(), BenchError> {
    let policy =
        json!({"retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "5m"});
    let path = format!("/v1/keyspaces/{keyspace}");
    call(&lethe.operator, Method::Put, &path, "", &policy).await?;
    Ok(())
}

impl Found {
    fn median_of(&self, name: &str, figure: fn(&Tail) -> f64) -> f64 {
        let rounds = self.rounds.iter().filter(|round| round.name == name);
        median(rounds.map(|round| figure(&round.tail))).unwrap_or_default()
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "\n{:<31}{:>11}{:>11}{:>10}{:>10}{:>10}{:>12}",
            "", "rotations", "requests/s", "p50 us", "p99 us", "p99.9 us", "longest us"
        )?;
        for name in [ALONE, KEYSPACE, ROOT] {
            let rounds = self.rounds.iter().filter(|round| round.name == name);
            writeln!(
                out,
                "{name:<31}{:>11}{:>11.0}{:>10.0}{:>10.0}{:>10.0}{:>12.0}",
                rounds.map(|round| round.rotations).sum::<u32>(),
                self.median_of(name, |tail| tail.rate),
                self.median_of(name, |tail| tail.p50),
                self.median_of(name, |tail| tail.p99),
                self.median_of(name, |tail| tail.p999),
                self.median_of(name, |tail| tail.longest),
            )?;
        }
        writeln!(out)?;
        table::print_rest(out, &self.results, TARGETS)
    }

    fn json(&self) -> Value {
        let mut all = table::json(&self.results, TARGETS);
        all["rounds"] = json!(self.rounds);
        all
    }
}
