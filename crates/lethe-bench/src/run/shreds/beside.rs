//! Do issue and unwrap keep their throughput while a steady trickle is shredded beside them?

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use super::super::keys::{Issue, Keys, Unwrap, issue_all};
use super::super::results::{Case, Results, median};
use super::site::{KEYSPACE, Site};
use super::targets::{KEY_CONNECTIONS, names};
use super::workload::Shred;
use crate::clock;
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::{self, Connection, Interval, Measured, Workload};
use crate::output::say;

/// Conversations that are not shredded, and their keys.
const FEW: u64 = 64;
const WARM_KEYS: u64 = 64_000;
/// Shreds in a request, ten requests a second.
const BATCH: u64 = 50;
/// Each has a connection: a slow answer does not hold up the next request.
const LANES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// First of the conversations whose keys are used.
const FIRST: u64 = 1 << 41;

/// What the trickle saw in all rounds.
#[derive(Default)]
struct Trickle {
    shreds: Cell<u64>,
    took: Cell<Duration>,
    milliseconds: RefCell<Vec<f64>>,
}

/// Alone and beside in turn.
pub(super) async fn measure(
    site: &mut Site,
    rounds: u32,
    interval: Interval,
    results: &mut Results,
) -> Result<(), BenchError> {
    let endpoint = site.lethe()?.server.endpoint.clone();
    let keys = Keys::for_keyspace(endpoint.address, KEYSPACE);
    let issued = issue_all(&endpoint, KEYSPACE, WARM_KEYS, FIRST, FEW).await?;
    let issue: Rc<dyn Workload> = Rc::new(Issue {
        keys: keys.clone(),
        first: FIRST,
        conversations: FEW,
    });
    let unwrap: Rc<dyn Workload> = Rc::new(Unwrap { keys, issued });
    let cases = [
        (names::ISSUE, names::ISSUE_BESIDE, issue),
        (names::UNWRAP, names::UNWRAP_BESIDE, unwrap),
    ];
    let trickle = Trickle::default();
    for round in 1..=rounds {
        for (name, name_beside, workload) in &cases {
            say(format_args!(
                "round {round} of {rounds}: {name}, alone and beside shreds"
            ));
            // In turn: what gets slower all the time must not show as the trickle's doing.
            for is_beside in [round.is_multiple_of(2), !round.is_multiple_of(2)] {
                if is_beside {
                    let figures = beside(site, workload, interval, &trickle).await?;
                    results.add(case(name_beside), figures);
                } else {
                    results.add(case(name), alone(site, workload, interval).await?);
                }
            }
        }
    }
    trickle.note(results);
    Ok(())
}

fn case(name: &'static str) -> Case {
    Case {
        name,
        connections: KEY_CONNECTIONS,
    }
}

async fn alone(
    site: &Site,
    workload: &Rc<dyn Workload>,
    interval: Interval,
) -> Result<Measured, BenchError> {
    let server = &site.lethe()?.server;
    load::measure(
        &server.endpoint,
        workload.clone(),
        KEY_CONNECTIONS,
        interval,
        server.pid,
    )
    .await
}

async fn beside(
    site: &mut Site,
    workload: &Rc<dyn Workload>,
    interval: Interval,
    trickle: &Trickle,
) -> Result<Measured, BenchError> {
    let endpoint = site.lethe()?.server.endpoint.clone();
    let shred = Shred::new(endpoint.address, BATCH, site.shredded);
    let begun = clock::now();
    let measured = tokio::select! {
        measured = alone(site, workload, interval) => measured,
        failed = trickle.run(&endpoint, &shred) => failed.map(|never| match never {}),
    };
    trickle
        .took
        .set(trickle.took.get() + (clock::now() - begun));
    site.shredded += shred.shreds();
    measured
}

impl Trickle {
    /// Until it is dropped, or something fails.
    async fn run(&self, endpoint: &Endpoint, shred: &Shred) -> Result<Infallible, BenchError> {
        let lane = |number| self.lane(endpoint, shred, number);
        tokio::try_join!(lane(0), lane(1), lane(2), lane(3)).map(|(never, ..)| never)
    }

    async fn lane(
        &self,
        endpoint: &Endpoint,
        shred: &Shred,
        lane: u32,
    ) -> Result<Infallible, BenchError> {
        let begin = clock::now() + PAUSE * lane;
        let mut connection = Connection::open(endpoint).await?;
        let mut due = tokio::time::interval_at(begin.into(), PAUSE * LANES);
        let mut request = Vec::new();
        loop {
            due.tick().await;
            let number = shred.next();
            request.clear();
            shred.request(number, &mut request);
            let sent = clock::now();
            let answer = connection.exchange(&request).await;
            let answer = answer.map_err(BenchError::io("shredding beside"))?;
            let took = clock::now() - sent;
            if answer.status != shred.status() {
                return Err(BenchError::WrongAnswer(answer.status.to_string()));
            }
            shred.glance(&answer.body)?;
            shred.check(number, &answer.body)?;
            self.shreds.set(self.shreds.get() + BATCH);
            self.milliseconds
                .borrow_mut()
                .push(took.as_secs_f64() * 1e3);
        }
    }

    fn note(&self, results: &mut Results) {
        let rate = self.shreds.get() as f64 / self.took.get().as_secs_f64();
        results.note(names::RATE_BESIDE, rate);
        let receipt = median(self.milliseconds.borrow().iter().copied());
        results.note(names::RECEIPT_BESIDE, receipt.unwrap_or_default());
    }
}
