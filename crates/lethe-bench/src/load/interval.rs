use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::workload::Workload;
use crate::clock;
use crate::cpu::Pid;
use crate::error::BenchError;
use crate::identity::Endpoint;

/// One answer in so many is parsed and verified; every one's status is looked at.
const SAMPLE: u64 = 64;

/// How long to load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval {
    /// Time before the measurement begins.
    pub(crate) warm_up: Duration,
    /// Time of the measurement.
    pub(crate) measured: Duration,
}

/// How much to load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent {
    /// Ends after this time.
    Time(Interval),
    /// Ends after this number of requests, all of which are measured.
    Requests(u64),
}

impl From<Interval> for Extent {
    fn from(interval: Interval) -> Self {
        Self::Time(interval)
    }
}

/// What one interval showed. Times in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// Operations a second.
    pub(crate) throughput: f64,
    /// Median of the times of answers.
    pub(crate) p50: f64,
    /// 99th percentile of the times of answers.
    pub(crate) p99: f64,
    /// Server's CPU for an operation.
    pub(crate) server_cpu: f64,
    /// How often a thread of the server went to sleep for an operation.
    pub(crate) server_sleeps: f64,
    /// CPU for an operation of the server's child processes: the simulated HSM.
    pub(crate) children_cpu: f64,
    /// Our own CPU for an operation.
    pub(crate) generator_cpu: f64,
    /// Bytes that the server had written to its disk for an operation, where we may know.
    pub(crate) disk: Option<f64>,
}

/// Shared by the connections of one interval.
struct Tally {
    begin: Instant,
    /// None: it ends with the last answer.
    end: Option<Instant>,
    requests: Option<u64>,
    next: Cell<u64>,
    answers: Cell<u64>,
    last: Cell<Instant>,
    times: RefCell<Histogram<u64>>,
}

/// What processes have used so far, or did within an interval.
struct Spent {
    server: Duration,
    sleeps: u64,
    children: Duration,
    generator: Duration,
    written: Option<u64>,
}

/// Loads `endpoint` over `connections` and watches `server` meanwhile.
pub(crate) async fn measure(
    endpoint: &Endpoint,
    workload: Rc<dyn Workload>,
    connections: usize,
    extent: impl Into<Extent>,
    server: Pid,
) -> Result<Measured, BenchError> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(if workload.connects_anew() {
            Asking::Anew(endpoint.clone())
        } else {
            Asking::Kept(Box::new(Connection::open(endpoint).await?))
        });
    }
    let tally = Rc::new(Tally::starting(extent.into())?);
    let local = tokio::task::LocalSet::new();
    let mut tasks = JoinSet::new();
    for connection in open {
        tasks.spawn_local_on(
            keep_asking(connection, workload.clone(), tally.clone()),
            &local,
        );
    }
    let watched = local
        .run_until(async {
            tokio::time::sleep_until(tally.begin.into()).await;
            let before = Spent::until_now(server)?;
            let Some(end) = tally.end else {
                join(&mut tasks).await?;
                return Ok(Spent::until_now(server)?.since(&before));
            };
            tokio::time::sleep_until(end.into()).await;
            let spent = Spent::until_now(server)?.since(&before);
            join(&mut tasks).await?;
            Ok::<_, BenchError>(spent)
        })
        .await?;
    tally.report(workload.operations(), &watched)
}

async fn join(tasks: &mut JoinSet<Result<(), BenchError>>) -> Result<(), BenchError> {
    while let Some(task) = tasks.join_next().await {
        task.map_err(|error| BenchError::Server(error.to_string()))??;
    }
    Ok(())
}

/// Where requests are sent.
enum Asking {
    /// All over one connection.
    Kept(Box<Connection>),
    /// Each over one of its own.
    Anew(Endpoint),
}

async fn keep_asking(
    mut asking: Asking,
    workload: Rc<dyn Workload>,
    tally: Rc<Tally>,
) -> Result<(), BenchError> {
    let mut request = Vec::new();
    let mut sent = clock::now();
    while let Some(number) = tally.take_number() {
        request.clear();
        workload.request(number, &mut request);
        let mut own;
        let connection = match &mut asking {
            Asking::Kept(connection) => connection.as_mut(),
            Asking::Anew(endpoint) => {
                own = Connection::open(endpoint).await?;
                &mut own
            }
        };
        let response = connection
            .exchange(&request)
            .await
            .map_err(BenchError::io("a request of the load"))?;
        let answered = clock::now();
        if response.status != workload.status() {
            let body = String::from_utf8_lossy(&response.body);
            return Err(BenchError::WrongAnswer(format!(
                "{} {body}",
                response.status
            )));
        }
        workload.glance(&response.body)?;
        if number.is_multiple_of(SAMPLE) {
            workload.check(number, &response.body)?;
        }
        if tally.end.is_some_and(|end| answered >= end) {
            return Ok(());
        }
        tally.count(sent, answered)?;
        sent = answered;
    }
    Ok(())
}

impl Spent {
    fn until_now(server: Pid) -> Result<Self, BenchError> {
        let children = server
            .children()
            .into_iter()
            .filter_map(|child| child.cpu().ok());
        Ok(Self {
            server: server.cpu()?,
            sleeps: server.sleeps(),
            children: children.sum(),
            generator: Pid::this().cpu()?,
            written: server.written(),
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
            children: self.children.saturating_sub(before.children),
            generator: self.generator.saturating_sub(before.generator),
            written: self
                .written
                .zip(before.written)
                .map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

impl Tally {
    fn starting(extent: Extent) -> Result<Self, BenchError> {
        let now = clock::now();
        let (begin, end, requests) = match extent {
            Extent::Time(interval) => {
                let begin = now + interval.warm_up;
                (begin, Some(begin + interval.measured), None)
            }
            Extent::Requests(requests) => (now, None, Some(requests)),
        };
        let times = Histogram::new(3).map_err(|error| BenchError::Server(error.to_string()))?;
        Ok(Self {
            begin,
            end,
            requests,
            next: Cell::new(0),
            answers: Cell::new(0),
            last: Cell::new(begin),
            times: RefCell::new(times),
        })
    }

    /// None when no more requests are wanted.
    fn take_number(&self) -> Option<u64> {
        let number = self.next.get();
        if self.requests.is_some_and(|requests| number >= requests) {
            return None;
        }
        self.next.set(number + 1);
        Some(number)
    }

    fn count(&self, sent: Instant, answered: Instant) -> Result<(), BenchError> {
        if answered < self.begin {
            return Ok(());
        }
        self.answers.set(self.answers.get() + 1);
        self.last.set(answered);
        let nanos = (answered - sent).as_nanos() as u64;
        self.times
            .borrow_mut()
            .record(nanos)
            .map_err(|error| BenchError::Server(error.to_string()))
    }

    fn report(&self, operations: u64, spent: &Spent) -> Result<Measured, BenchError> {
        if self.answers.get() == 0 {
            return Err(BenchError::WrongAnswer(
                "no answer within the interval".into(),
            ));
        }
        let operations = (self.answers.get() * operations) as f64;
        let times = self.times.borrow();
        let cpu = |spent: Duration| spent.as_secs_f64() * 1e6 / operations;
        let end = self.end.unwrap_or(self.last.get());
        Ok(Measured {
            throughput: operations / (end - self.begin).as_secs_f64(),
            p50: times.value_at_quantile(0.50) as f64 / 1e3,
            p99: times.value_at_quantile(0.99) as f64 / 1e3,
            server_cpu: cpu(spent.server),
            server_sleeps: spent.sleeps as f64 / operations,
            children_cpu: cpu(spent.children),
            generator_cpu: cpu(spent.generator),
            disk: spent.written.map(|bytes| bytes as f64 / operations),
        })
    }
}
