//! One attack from the start of its service to the verdict.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::deployment::{Deployment, MESSAGE_SERVER};
use super::good_client::{GoodClient, Seen};
use super::{Attack, Gained, Settings, expiry, threads};
use crate::clock;
use crate::error::BenchError;

/// Beside an attack the good client's p99 may be so many times what it was before,
const SLOWER: f64 = 3.0;
/// and as long as this in any case: what the machine does beside us, in milliseconds.
const NOISE: f64 = 25.0;
/// The same for a new connection, of which there are few.
const NOISE_OF_CONNECTIONS: f64 = 250.0;
/// Bytes that the service may hold beyond what it held before the attack.
pub(super) const MEMORY: u64 = 128 << 20;
/// Bytes that may come into the audit log each second, the good client's 30 KB among them.
const AUDIT: u64 = 128 << 10;
/// Seconds to the destruction of an expired bucket.
const LATE: f64 = 1.0;
/// What an attack may take beyond its time.
const OVERTIME: Duration = Duration::from_secs(60);

/// How long and how strictly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Before the attack, and during it.
    pub(super) time: Duration,
    /// Whether times count: on a busy machine they say little.
    pub(super) times_count: bool,
}

/// What an attack did.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) before: Seen,
    pub(super) during: Seen,
    /// Bytes that the service held before, and the most that it held during the attack.
    pub(super) memory: [u64; 2],
    /// Bytes of lines that came into the audit log each second.
    pub(super) audit: u64,
    /// Seconds to the latest destruction of an expired bucket; none: one was not destroyed.
    pub(super) late: Option<f64>,
    pub(super) gained: Gained,
    /// The bounds that did not hold.
    pub(super) broken: Vec<String>,
}

/// Runs an attack on a service of its own.
pub(super) fn run(attack: &dyn Attack, work: &Path, extent: Extent) -> Result<Outcome, BenchError> {
    let runtime = crate::run::runtime()?;
    let settings = attack.settings();
    let target = runtime.block_on(Deployment::start(work, settings))?;
    runtime.block_on(attack.prepare(&target))?;
    let client = target.client(MESSAGE_SERVER)?;

    let good = GoodClient::start(client.clone());
    runtime.block_on(async { tokio::time::sleep(extent.time).await });
    let before = good.stop()?;

    target.pid().reset_peak_memory();
    let held = target.pid().peak_memory()?;
    let (audit, begin, from) = (target.audit_bytes()?, clock::now(), clock::since_epoch());
    let good = GoodClient::start(client);
    let end = begin + extent.time;
    let gained = threads::behind_all_others(async {
        let gained = tokio::time::timeout(extent.time + OVERTIME, attack.run(&target, end)).await;
        // An attack of few calls ends early: what follows from it may come later.
        tokio::time::sleep_until(end.into()).await;
        gained.unwrap_or_else(|_| Err(BenchError::Server("the attack did not end".into())))
    })?;
    let during = good.stop()?;
    let (took, to) = (clock::now() - begin, clock::since_epoch());
    let written = target.audit_bytes()?.saturating_sub(audit);
    let late = if settings.moves_clock {
        None
    } else {
        runtime.block_on(expiry::latest(&target, from.as_secs() + 1, to.as_secs()))?
    };

    let mut outcome = Outcome {
        name: attack.name(),
        what: attack.what(),
        before,
        during,
        memory: [held, target.pid().peak_memory()?],
        audit: (written as f64 / took.as_secs_f64()) as u64,
        late,
        gained,
        broken: Vec::new(),
    };
    outcome.broken = outcome.judge(settings, extent.times_count);
    Ok(outcome)
}

impl Outcome {
    /// Which bounds are broken.
    fn judge(&self, settings: Settings, times_count: bool) -> Vec<String> {
        let mut broken = self.gained.reached.clone();
        if self.gained.skipped.is_some() || settings.moves_clock {
            return broken;
        }
        if let Some(why) = &self.during.failure {
            broken.push(format!(
                "{} failures of the good client: {why}",
                self.during.failed
            ));
        }
        let grown = self.memory[1].saturating_sub(self.memory[0]);
        if grown > settings.memory.unwrap_or(MEMORY) {
            broken.push(format!("{} MB of memory more", grown >> 20));
        }
        if self.audit > AUDIT {
            broken.push(format!("{} KB/s into the audit log", self.audit >> 10));
        }
        if self.late.is_none() {
            broken.push("an expired bucket was not destroyed".into());
        }
        if times_count {
            broken.extend(self.too_slow());
        }
        broken
    }

    fn too_slow(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let allowed = (self.before.p99 * SLOWER).max(NOISE);
        if self.during.p99 > allowed {
            let p99 = self.during.p99;
            broken.push(format!("p99 of {p99:.0} ms, above {allowed:.0} ms"));
        }
        let allowed = (self.before.connection * SLOWER).max(NOISE_OF_CONNECTIONS);
        if self.during.connection > allowed {
            let took = self.during.connection;
            broken.push(format!("a new connection took {took:.0} ms"));
        }
        if let Some(late) = self.late.filter(|late| *late > LATE) {
            broken.push(format!("an expired bucket destroyed {late:.1} s late"));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            name: "attack",
            what: "does nothing",
            before: Seen {
                p99: 10.0,
                ..Seen::default()
            },
            during: Seen {
                p99: 30.0,
                ..Seen::default()
            },
            memory: [1 << 20, 2 << 20],
            audit: 1 << 10,
            late: Some(0.5),
            gained: Gained::default(),
            broken: Vec::new(),
        }
    }

    fn broken(change: impl FnOnce(&mut Outcome)) -> usize {
        let mut outcome = outcome();
        change(&mut outcome);
        outcome.judge(Settings::default(), true).len()
    }

    #[test]
    fn each_bound_counts() {
        assert_eq!(broken(|_| {}), 0);
        assert_eq!(broken(|it| it.during.p99 = 31.0), 1);
        assert_eq!(broken(|it| it.during.connection = 251.0), 1);
        assert_eq!(broken(|it| it.during.failure = Some("503".into())), 1);
        assert_eq!(broken(|it| it.memory[1] += MEMORY), 1);
        assert_eq!(broken(|it| it.audit = AUDIT + 1), 1);
        assert_eq!(broken(|it| it.late = None), 1);
        assert_eq!(broken(|it| it.late = Some(1.1)), 1);
        assert_eq!(broken(|it| it.gained.reached.push("a key".into())), 1);
    }

    #[test]
    fn noise_is_no_harm_and_busy_machines_have_no_times() {
        let quick = |it: &mut Outcome| (it.before.p99, it.during.p99) = (0.3, 24.0);
        assert_eq!(broken(quick), 0);
        let mut slow = outcome();
        (slow.during.p99, slow.late) = (1_000.0, Some(3.0));
        assert_eq!(slow.judge(Settings::default(), true).len(), 2);
        assert!(slow.judge(Settings::default(), false).is_empty());
    }
}
