//! Rounds over all servers, medians, targets, the table.

mod expiry;
mod keys;
mod load;
mod operate;
mod plan;
mod results;
mod shreds;
mod table;
mod targets;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use load::Load;
pub(crate) use operate::Operate;
pub(crate) use shreds::Shreds;

use crate::error::BenchError;
use crate::load::{Interval, measure};
use crate::open_files;
use crate::output::{print, say};
use plan::Plan;
use results::Results;
use table::Beside;
use targets::{TARGETS, names};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Run {
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Seconds that each case is measured in each round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rounds, of which medians are taken
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Servers to measure; targets that need others are left open
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["control", "lethe", "openbao"])]
    only: Vec<Peer>,
    /// Cases to measure, such as "control;lethe issue, new connection"; all of them without it
    #[arg(long, value_delimiter = ';')]
    cases: Vec<String>,
    /// Numbers of connections to measure with; all of them without it
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Leave out the expiry of buckets, which waits for two minutes
    #[arg(long)]
    no_expiry: bool,
    /// Where OpenBao is kept between runs
    #[arg(long, default_value = "target/bench/openbao")]
    openbao_cache: PathBuf,
    /// Where the servers' folders are made: a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// A server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// The same stack with a fixed body.
    Control,
    /// The service, on disk and on tmpfs.
    Lethe,
    /// OpenBao's transit, with an audit file and without.
    Openbao,
}

const BESIDE: [Beside; 2] = [
    Beside {
        title: "/control",
        case: names::CONTROL,
    },
    Beside {
        title: "/openbao",
        case: names::OPENBAO_AUDIT,
    },
];

const WARM_UP: Duration = Duration::from_secs(1);

impl Run {
    /// Measures and prints.
    ///
    /// # Errors
    /// [`BenchError`], also for one wrong answer of any server.
    pub(crate) fn run(&self) -> Result<(), BenchError> {
        let mut results = Results::default();
        runtime()?.block_on(self.measure(&mut results))?;
        print(|out| match self.output {
            Output::Table => {
                table::print_cases(out, &results, &BESIDE)?;
                table::print_spread(out, &results, [names::ISSUE, names::CONTROL])?;
                table::print_rest(out, &results, TARGETS)
            }
            Output::Json => writeln!(out, "{:#}", table::json(&results, TARGETS)),
        })
    }

    async fn measure(&self, results: &mut Results) -> Result<(), BenchError> {
        std::fs::create_dir_all(&self.work_dir).map_err(BenchError::io("the work folder"))?;
        open_files::raise();
        let plan = Plan::make(&self.only, &self.work_dir, &self.openbao_cache, results);
        let mut plan = plan.await?;
        plan.choose(&self.cases, &self.connections);
        for round in 1..=self.rounds {
            self.round(round, &plan, results).await?;
        }
        let Some(lethe) = plan.lethe() else {
            return Ok(());
        };
        if !self.no_expiry {
            expiry::measure(lethe, results).await?;
        }
        let peak = lethe.server.pid.peak_memory()?;
        results.note(names::MEMORY, peak as f64 / f64::from(1 << 20));
        Ok(())
    }

    async fn round(
        &self,
        round: u32,
        plan: &Plan,
        results: &mut Results,
    ) -> Result<(), BenchError> {
        let interval = Interval {
            warm_up: WARM_UP,
            measured: Duration::from_secs(self.seconds),
        };
        for step in plan.steps() {
            let case = step.case.clone();
            say(format_args!(
                "round {round} of {}: {} at {}",
                self.rounds, case.name, case.connections
            ));
            let server = plan.server(step);
            let measured = measure(
                &server.endpoint,
                step.workload.clone(),
                case.connections,
                interval,
                server.pid,
            )
            .await?;
            results.add(case, measured);
        }
        Ok(())
    }
}

/// One thread: it shares the cores with the servers.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("the generator's runtime"))
}
