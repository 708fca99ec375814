//! A client with every right, beside an attack: a data key every 10 ms over a kept connection, and
//! each second another one over a new connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock;
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::{Connection, head_before_length};

const PERIOD: Duration = Duration::from_millis(10);
const NEW_CONNECTION: Duration = Duration::from_secs(1);
/// What has no answer after this failed.
const LONGEST: Duration = Duration::from_secs(10);
const BODY: &str = r#"{"conversation":"the-good-client"}"#;

/// What it saw. Times in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Seen {
    /// Number of data keys that came over the kept connection.
    pub(super) answers: u64,
    /// Median of their times.
    pub(super) p50: f64,
    /// 99th percentile of their times.
    pub(super) p99: f64,
    /// The longest of their times.
    pub(super) longest: f64,
    /// Longest time to a new connection with one data key.
    pub(super) connection: f64,
    /// Requests and connections that failed.
    pub(super) failed: u64,
    /// Why the first of these failed.
    pub(super) failure: Option<String>,
}

/// Runs on a thread of its own until it is stopped.
pub(super) struct GoodClient {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, BenchError>>,
}

impl GoodClient {
    pub(super) fn start(endpoint: Endpoint) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = crate::run::runtime()?;
            runtime.block_on(Asking::new(endpoint)?.until(&seen))
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Result<Seen, BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| BenchError::Server("the good client panicked".into()))?
    }
}

struct Asking {
    endpoint: Endpoint,
    request: Vec<u8>,
    kept: Option<Connection>,
    times: Histogram<u64>,
    seen: Seen,
}

impl Asking {
    fn new(endpoint: Endpoint) -> Result<Self, BenchError> {
        let head = head_before_length("/v1/keyspaces/chat/data-keys", endpoint.address, "");
        let request = format!("{head}{}\r\n\r\n{BODY}", BODY.len());
        let times = Histogram::new(3).map_err(|error| BenchError::Server(error.to_string()))?;
        Ok(Self {
            endpoint,
            request: request.into_bytes(),
            kept: None,
            times,
            seen: Seen::default(),
        })
    }

    async fn until(mut self, stop: &AtomicBool) -> Result<Seen, BenchError> {
        let first = clock::now();
        let (mut due, mut next_connection) = (first, first);
        while !stop.load(Ordering::Relaxed) {
            if clock::now() >= next_connection {
                next_connection = clock::now() + NEW_CONNECTION;
                self.connect_anew().await;
                due = due.max(clock::now());
            }
            due = self.ask_when(due).await;
        }
        let at = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e6;
        (self.seen.p50, self.seen.p99) = (at(0.5), at(0.99));
        self.seen.longest = self.times.max() as f64 / 1e6;
        self.seen.answers = self.times.len();
        Ok(self.seen)
    }

    /// One data key when it is due; when the next one is.
    async fn ask_when(&mut self, due: Instant) -> Instant {
        let was_free = clock::now() < due;
        tokio::time::sleep_until(due.into()).await;
        // Timers are late by up to a millisecond, which is not the server's doing.
        let begun = if was_free { clock::now() } else { due };
        match tokio::time::timeout(LONGEST, self.ask()).await {
            Ok(Ok(())) => {
                let took = clock::now().saturating_duration_since(begun);
                if let Err(error) = self.times.record(took.as_nanos() as u64) {
                    self.failed(&error);
                }
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => self.failed(&"no answer in time"),
        }
        due + PERIOD
    }

    async fn ask(&mut self) -> Result<(), BenchError> {
        // Where it fails, the next request begins with a new connection.
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => Connection::open(&self.endpoint).await?,
        };
        issue(&mut connection, &self.request).await?;
        self.kept = Some(connection);
        Ok(())
    }

    async fn connect_anew(&mut self) {
        let begun = clock::now();
        let asked = async {
            let mut connection = Connection::open(&self.endpoint).await?;
            issue(&mut connection, &self.request).await
        };
        match tokio::time::timeout(LONGEST, asked).await {
            Ok(Ok(())) => {
                let took = clock::now().saturating_duration_since(begun).as_secs_f64() * 1e3;
                self.seen.connection = self.seen.connection.max(took);
            }
            Ok(Err(error)) => self.failed(&format_args!("a new connection: {error}")),
            Err(_) => self.failed(&"a new connection: no answer in time"),
        }
    }

    fn failed(&mut self, why: &dyn std::fmt::Display) {
        self.seen.failed += 1;
        self.seen.failure.get_or_insert_with(|| why.to_string());
    }
}

async fn issue(connection: &mut Connection, request: &[u8]) -> Result<(), BenchError> {
    let what = "a request of the good client";
    let answer = connection
        .exchange(request)
        .await
        .map_err(BenchError::io(what))?;
    if answer.status == 201 {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&answer.body);
    Err(BenchError::WrongAnswer(format!("{} {body}", answer.status)))
}
