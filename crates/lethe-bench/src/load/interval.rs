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
    /// Before measuring.
    pub(crate) warm_up: Duration,
    /// While measuring.
    pub(crate) measured: Duration,
}

/// What one interval showed. Times in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// Operations a second.
    pub(crate) throughput: f64,
    /// Median of the answers' times.
    pub(crate) p50: f64,
    /// 99th percentile of them.
    pub(crate) p99: f64,
    /// Server's CPU for an operation.
    pub(crate) server_cpu: f64,
    /// CPU for an operation of the server's child processes: the simulated HSM.
    pub(crate) children_cpu: f64,
    /// Our own CPU for an operation.
    pub(crate) generator_cpu: f64,
}

/// Shared by the connections of one interval.
struct Tally {
    begin: Instant,
    end: Instant,
    next: Cell<u64>,
    answers: Cell<u64>,
    times: RefCell<Histogram<u64>>,
}

/// Loads `endpoint` over `connections` and watches `server` meanwhile.
pub(crate) async fn measure(
    endpoint: &Endpoint,
    workload: Rc<dyn Workload>,
    connections: usize,
    interval: Interval,
    server: Pid,
) -> Result<Measured, BenchError> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(endpoint).await?);
    }
    let tally = Rc::new(Tally::starting(interval)?);
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
            let spent = spent_within(&tally, server).await?;
            while let Some(task) = tasks.join_next().await {
                task.map_err(|error| BenchError::Server(error.to_string()))??;
            }
            Ok::<_, BenchError>(spent)
        })
        .await?;
    tally.report(workload.operations(), watched)
}

async fn keep_asking(
    mut connection: Connection,
    workload: Rc<dyn Workload>,
    tally: Rc<Tally>,
) -> Result<(), BenchError> {
    let mut request = Vec::new();
    let mut sent = clock::now();
    loop {
        let number = tally.take_number();
        request.clear();
        workload.request(number, &mut request);
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
        if number.is_multiple_of(SAMPLE) {
            workload.check(number, &response.body)?;
        }
        if answered >= tally.end {
            return Ok(());
        }
        tally.count(sent, answered)?;
        sent = answered;
    }
}

/// CPU of the server, of its children and of ourselves while measuring.
async fn spent_within(tally: &Tally, server: Pid) -> Result<[Duration; 3], BenchError> {
    tokio::time::sleep_until(tally.begin.into()).await;
    let before = spent(server)?;
    tokio::time::sleep_until(tally.end.into()).await;
    let after = spent(server)?;
    Ok([0, 1, 2].map(|index: usize| after[index].saturating_sub(before[index])))
}

fn spent(server: Pid) -> Result<[Duration; 3], BenchError> {
    let children = server
        .children()
        .into_iter()
        .filter_map(|child| child.cpu().ok());
    Ok([server.cpu()?, children.sum(), Pid::this().cpu()?])
}

impl Tally {
    fn starting(interval: Interval) -> Result<Self, BenchError> {
        let begin = clock::now() + interval.warm_up;
        let times = Histogram::new(3).map_err(|error| BenchError::Server(error.to_string()))?;
        Ok(Self {
            begin,
            end: begin + interval.measured,
            next: Cell::new(0),
            answers: Cell::new(0),
            times: RefCell::new(times),
        })
    }

    fn take_number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn count(&self, sent: Instant, answered: Instant) -> Result<(), BenchError> {
        if answered < self.begin {
            return Ok(());
        }
        self.answers.set(self.answers.get() + 1);
        let nanos = (answered - sent).as_nanos() as u64;
        self.times
            .borrow_mut()
            .record(nanos)
            .map_err(|error| BenchError::Server(error.to_string()))
    }

    fn report(&self, operations: u64, cpu: [Duration; 3]) -> Result<Measured, BenchError> {
        if self.answers.get() == 0 {
            return Err(BenchError::WrongAnswer(
                "no answer within the interval".into(),
            ));
        }
        let operations = (self.answers.get() * operations) as f64;
        let times = self.times.borrow();
        let [server_cpu, children_cpu, generator_cpu] =
            cpu.map(|spent| spent.as_secs_f64() * 1e6 / operations);
        Ok(Measured {
            throughput: operations / (self.end - self.begin).as_secs_f64(),
            p50: times.value_at_quantile(0.50) as f64 / 1e3,
            p99: times.value_at_quantile(0.99) as f64 / 1e3,
            server_cpu,
            children_cpu,
            generator_cpu,
        })
    }
}
