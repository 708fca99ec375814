//! What an attacker may try, and what a good client beside it notices.
//!
//! Each attack is a file of its own and runs on a service of its own: first the good client alone,
//! then beside the attack. [`check`] says which bounds were broken.

mod bodies;
mod certificates;
mod chains;
mod check;
mod command;
mod command_line;
mod control_frames;
mod cross_site;
mod deployment;
mod erase_race;
mod expiry;
mod good_client;
mod http2;
mod idle;
mod one_operator;
mod refusals;
mod report;
mod same_key;
mod shred_window;
mod threads;
mod withdrawn;
mod zero_window;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Serialize;

pub(crate) use command::Attacks;

use crate::clock;
use crate::error::BenchError;
use deployment::Deployment;

/// One way to harm the service or its other clients.
#[async_trait]
trait Attack: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it does and what it wants, in one sentence.
    fn what(&self) -> &'static str;

    /// What the service's configuration has to be for it.
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// Made before the good client is measured: grants, keys, connections of others.
    ///
    /// # Errors
    /// [`BenchError`]: the attack cannot be tried.
    async fn prepare(&self, _target: &Deployment) -> Result<(), BenchError> {
        Ok(())
    }

    /// Attacks until `end` at most. Refusals of any kind are no errors.
    ///
    /// # Errors
    /// [`BenchError`]: the attack could not be tried.
    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError>;
}

/// Changes to the configuration of `lethe dev`.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    /// Options of sections that `lethe dev` writes, with their section.
    options: &'static [(&'static str, &'static str)],
    /// Whether approvals are required.
    required: bool,
    /// Whether it moves the service's clock: then neither expiries nor the good client count.
    moves_clock: bool,
    /// Bytes that the service may hold beyond what it held before; none: [`check::MEMORY`].
    memory: Option<u64>,
}

/// A second operator is needed for what destroys, as in production. A few shreds are not much.
const APPROVALS: Settings = Settings {
    options: &[("approvals", "shreds = 3")],
    required: true,
    moves_clock: false,
    memory: None,
};

/// What the attacker got.
#[derive(Debug, Clone, Default, Serialize)]
struct Gained {
    /// How often the attacker got each kind of answer.
    counts: Vec<(&'static str, u64)>,
    /// What the attacker got and should not have got.
    reached: Vec<String>,
    /// Why the attack could not be tried in this build or on this machine.
    skipped: Option<&'static str>,
}

impl Gained {
    /// One more of something.
    fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    fn add(&mut self, what: &'static str, number: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, so_far)) => *so_far += number,
            None => self.counts.push((what, number)),
        }
    }

    /// Counts what `result` is.
    fn count_result<T, E>(&mut self, result: &Result<T, E>, names: [&'static str; 2]) {
        let [good, bad] = names;
        self.count(if result.is_ok() { good } else { bad });
    }

    fn merge(&mut self, other: Self) {
        for (what, number) in other.counts {
            self.add(what, number);
        }
        self.reached.extend(other.reached);
    }
}

/// All attacks, in the order in which they run.
fn all() -> Vec<Box<dyn Attack>> {
    vec![
        Box::new(chains::Chains),
        Box::new(erase_race::EraseRace),
        Box::new(zero_window::ZeroWindow),
        Box::new(refusals::Refusals),
        Box::new(bodies::EndlessBodies),
        Box::new(one_operator::MinimumVersion),
        Box::new(shred_window::ShredWindow),
        Box::new(same_key::SameKey),
        Box::new(cross_site::CrossSite),
        Box::new(one_operator::ForeignCalls),
        Box::new(one_operator::LongerLife),
        Box::new(withdrawn::WithdrawnGrant),
        Box::new(idle::IdleSockets),
        Box::new(idle::IdleHttp2),
        Box::new(bodies::BodiesUnderWay),
        Box::new(control_frames::ControlFrames),
        Box::new(bodies::ManyItems),
        Box::new(command_line::ReceiptsLink),
        Box::new(command_line::EscapeSequences),
    ]
}

/// For one step of an attack: who does not answer must not stop the attacker.
const STEP: Duration = Duration::from_secs(2);

/// After a refusal, so that the attacker does not only spin.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs a step of an attack; none when it took too long.
async fn step<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(STEP, work).await.ok()
}

fn is_over(end: Instant) -> bool {
    clock::now() >= end
}

/// Runs `workers` of the same kind at once and adds up what they got.
async fn side_by_side<F>(workers: usize, worker: impl Fn(usize) -> F) -> Result<Gained, BenchError>
where
    F: Future<Output = Result<Gained, BenchError>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..workers {
        tasks.spawn(worker(number));
    }
    let mut gained = Gained::default();
    while let Some(ended) = tasks.join_next().await {
        gained.merge(ended.map_err(|error| BenchError::Server(error.to_string()))??);
    }
    Ok(gained)
}
