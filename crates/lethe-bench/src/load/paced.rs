//! An open loop: requests come when they are due, whatever the server does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::connection::Connection;
use super::workload::Workload;
use crate::clock;
use crate::error::BenchError;
use crate::identity::Endpoint;

/// One answer in so many is parsed and verified; every one's status is looked at.
const SAMPLE: u64 = 16;

/// How many requests, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Requests a second, over all connections.
    pub(crate) rate: u64,
    /// Time before the measurement begins.
    pub(crate) warm_up: Duration,
    /// Time of the measurement.
    pub(crate) measured: Duration,
}

/// What answers took, in microseconds from when their requests were due.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tail {
    /// Requests a second that were answered: less than asked for if the server fell behind.
    pub(crate) rate: f64,
    /// Median.
    pub(crate) p50: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// 99.9th percentile.
    pub(crate) p999: f64,
    /// The longest.
    pub(crate) longest: f64,
    /// Answered otherwise than they should; not among those above.
    pub(crate) failed: u64,
}

struct Tally {
    begin: Instant,
    end: Instant,
    next: Cell<u64>,
    failed: Cell<u64>,
    times: RefCell<Histogram<u64>>,
}

/// Sends `workloads` in turn, paced, over `connections`. Each connection has one request under way
/// at most: one that is due while an answer is out waits, and its wait counts.
///
/// # Errors
/// [`BenchError`]: a connection that ends, a key that is not the right one.
pub(crate) async fn measure_paced(
    endpoint: &Endpoint,
    workloads: &[Rc<dyn Workload>],
    connections: u32,
    pace: Pace,
) -> Result<Tail, BenchError> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(endpoint).await?);
    }
    let now = clock::now();
    let begin = now + pace.warm_up;
    let tally = Rc::new(Tally {
        begin,
        end: begin + pace.measured,
        next: Cell::new(0),
        failed: Cell::new(0),
        times: RefCell::new(Histogram::new(3).map_err(server)?),
    });
    let step = Duration::from_secs(1) / u32::try_from(pace.rate).map_err(server)?;
    let local = tokio::task::LocalSet::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (index, connection) in (0..connections).zip(open) {
        let schedule = Schedule {
            due: now + step * index,
            period: step * connections,
        };
        let asking = keep_asking(connection, workloads.to_vec(), schedule, Rc::clone(&tally));
        tasks.spawn_local_on(asking, &local);
    }
    local
        .run_until(async {
            while let Some(task) = tasks.join_next().await {
                task.map_err(server)??;
            }
            Ok::<_, BenchError>(())
        })
        .await?;
    let times = tally.times.borrow();
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Tail {
        rate: times.len() as f64 / pace.measured.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        longest: times.max() as f64 / 1e3,
        failed: tally.failed.get(),
    })
}

fn server(error: impl std::fmt::Display) -> BenchError {
    BenchError::Server(error.to_string())
}

struct Schedule {
    due: Instant,
    period: Duration,
}

async fn keep_asking(
    mut connection: Connection,
    workloads: Vec<Rc<dyn Workload>>,
    mut schedule: Schedule,
    tally: Rc<Tally>,
) -> Result<(), BenchError> {
    let mut request = Vec::new();
    while schedule.due < tally.end {
        let was_free = clock::now() < schedule.due;
        tokio::time::sleep_until(schedule.due.into()).await;
        // Timers are late by up to a millisecond, which is not the server's doing.
        let due = if was_free { clock::now() } else { schedule.due };
        let number = tally.next.replace(tally.next.get() + 1);
        let workload = &workloads[number as usize % workloads.len()];
        request.clear();
        workload.request(number, &mut request);
        let answer = connection.exchange(&request).await;
        let answer = answer.map_err(BenchError::io("a paced request"))?;
        let took = clock::now().saturating_duration_since(due);
        if answer.status != workload.status() {
            tally.failed.set(tally.failed.get() + 1);
            schedule.due += schedule.period;
            continue;
        }
        workload.glance(&answer.body)?;
        if number.is_multiple_of(SAMPLE) {
            workload.check(number, &answer.body)?;
        }
        if schedule.due >= tally.begin {
            let recorded = tally.times.borrow_mut().record(took.as_nanos() as u64);
            recorded.map_err(server)?;
        }
        schedule.due += schedule.period;
    }
    Ok(())
}
