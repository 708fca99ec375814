//! The cost of a durable record. Tokio tasks on two workers append lines of about 250 bytes in a
//! closed loop, beside other work; against the same loop without a log, and against the plainest
//! group commit (a channel to a thread, one `oneshot` per caller) on the same disk in the same run.
//!
//! `cargo bench -p lethe-audit`; `LETHE_BENCH_DIR` names a folder on the disk to measure (by
//! default the build folder), `LETHE_BENCH_ROUNDS` how often all is repeated (5). It prints medians,
//! and the best round in brackets: on a machine with neighbours, the one they disturbed least.
#![allow(clippy::unwrap_used)] // a bench fails by panicking

use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lethe_audit::{AuditConfig, FileAuditSink};
use lethe_core::audit::Record;
use lethe_core::ports::AuditSink;
use lethe_testkit::audit_contract::record;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

const ROUND: Duration = Duration::from_millis(300);
const SEGMENT: u64 = 64 << 20;

trait Log: Send + Sync + 'static {
    fn append(&self, record: Record) -> impl Future<Output = ()> + Send;
}

/// The control.
struct NoLog;

impl Log for NoLog {
    async fn append(&self, record: Record) {
        std::hint::black_box(record);
    }
}

impl Log for FileAuditSink {
    async fn append(&self, record: Record) {
        AuditSink::append(self, record).await.unwrap();
    }
}

/// What one writes first.
struct Plain(std::sync::mpsc::Sender<(Record, oneshot::Sender<()>)>);

impl Plain {
    fn new(folder: &Path) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel::<(Record, oneshot::Sender<()>)>();
        let file = filled(&folder.join("plain"));
        std::thread::spawn(move || {
            let (mut lines, mut callers, mut end) = (Vec::new(), Vec::new(), 0);
            while let Ok(first) = receiver.recv() {
                for (record, caller) in std::iter::once(first).chain(receiver.try_iter()) {
                    lines.extend_from_slice(record.as_bytes());
                    lines.push(b'\n');
                    callers.push(caller);
                }
                end = if end + lines.len() as u64 > SEGMENT {
                    0
                } else {
                    end
                };
                file.write_all_at(&lines, end).unwrap();
                file.sync_data().unwrap();
                end += lines.len() as u64;
                lines.clear();
                for caller in callers.drain(..) {
                    let _ = caller.send(());
                }
            }
        });
        Self(sender)
    }
}

impl Log for Plain {
    async fn append(&self, record: Record) {
        let (answer, answered) = oneshot::channel();
        self.0.send((record, answer)).unwrap();
        answered.await.unwrap();
    }
}

fn filled(path: &Path) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![b'\n'; SEGMENT as usize]).unwrap();
    file.sync_all().unwrap();
    file
}

/// Nanoseconds.
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Other work of a request: so much CPU time that is not the log's.
fn work(iterations: u64) {
    let mut number = iterations;
    for _ in 0..iterations {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
    }
}

fn iterations_in(micros: u64) -> u64 {
    const TURNS: u64 = 1_000_000;
    let quickest = (0..10).map(|_| {
        let start = read(ClockId::ThreadCPUTime);
        work(TURNS);
        read(ClockId::ThreadCPUTime) - start
    });
    TURNS * micros * 1_000 / quickest.min().unwrap()
}

/// Callers, and microseconds of other work of each.
const CASES: [(usize, u64); 8] = [
    (1, 0),
    (16, 0),
    (64, 0),
    (1, 20),
    (16, 20),
    (64, 20),
    (256, 20),
    (1_024, 20),
];

#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    /// How often a thread went to sleep.
    sleeps: f64,
}

/// How often threads of this process that live now went to sleep so far.
fn sleeps() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let status =
        threads.filter_map(|it| std::fs::read_to_string(it.ok()?.path().join("status")).ok());
    let switches = |status: String| {
        let line = status
            .lines()
            .find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
        line.map_or(0.0, |number| number.trim().parse::<f64>().unwrap())
    };
    status.map(switches).sum()
}

async fn measure(log: Arc<impl Log>, callers: usize, iterations: u64) -> Figures {
    let stop = Arc::new(AtomicBool::new(false));
    let (start, cpu) = (read(ClockId::Monotonic), read(ClockId::ProcessCPUTime));
    let slept = sleeps();
    let tasks: Vec<_> = (0..callers)
        .map(|_| tokio::spawn(call(Arc::clone(&log), Arc::clone(&stop), iterations)))
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let took = (read(ClockId::Monotonic) - start) as f64;
    let cpu = (read(ClockId::ProcessCPUTime) - cpu) as f64;
    let slept = sleeps() - slept;
    waits.sort_unstable();
    let count = waits.len();
    Figures {
        per_second: count as f64 * 1e9 / took,
        p50: waits[count / 2] as f64 / 1e3,
        p99: waits[count * 99 / 100] as f64 / 1e3,
        cpu: cpu / count as f64 / 1e3,
        sleeps: slept / count as f64,
    }
}

async fn call(log: Arc<impl Log>, stop: Arc<AtomicBool>, iterations: u64) -> Vec<u64> {
    let request = "r".repeat(120);
    let mut waits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        work(iterations);
        let record = record(&request);
        let start = read(ClockId::Monotonic);
        log.append(record).await;
        waits.push(read(ClockId::Monotonic) - start);
        tokio::task::yield_now().await;
    }
    waits
}

/// Median, and the best in brackets.
fn cell(rounds: &[Figures], figure: fn(&Figures) -> f64, higher_is_better: bool) -> String {
    let mut values: Vec<f64> = rounds.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let best = if higher_is_better {
        values.len() - 1
    } else {
        0
    };
    let digits = usize::from(values[0] < 100.0);
    format!(
        "{:.digits$} [{:.digits$}]",
        values[values.len() / 2],
        values[best]
    )
}

fn main() {
    let parent = std::env::var("LETHE_BENCH_DIR");
    let parent = parent.unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").into());
    let rounds = std::env::var("LETHE_BENCH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir_in(parent).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = AuditConfig {
        directory: folder.path().to_owned(),
        segment_bytes: SEGMENT,
    };
    let sink = Arc::new(FileAuditSink::open(config).unwrap());
    let plain = Arc::new(Plain::new(folder.path()));
    println!(
        "callers  work  log              records/s          p50 us            p99 us     CPU us each          sleeps"
    );
    for (callers, micros) in CASES {
        let iterations = iterations_in(micros);
        let mut figures = [(); 3].map(|()| Vec::new());
        for _ in 0..rounds {
            let run = |log| runtime.block_on(log);
            figures[0].push(run(
                Box::pin(measure(Arc::new(NoLog), callers, iterations)) as Run
            ));
            figures[1].push(run(Box::pin(measure(
                Arc::clone(&plain),
                callers,
                iterations,
            ))));
            figures[2].push(run(Box::pin(measure(
                Arc::clone(&sink),
                callers,
                iterations,
            ))));
        }
        for (name, rounds) in ["none", "plain", "lethe"].iter().zip(&figures) {
            println!(
                "{callers:>7} {micros:>3}us  {name:<6} {:>19} {:>15} {:>17} {:>15} {:>15}",
                cell(rounds, |f| f.per_second, true),
                cell(rounds, |f| f.p50, false),
                cell(rounds, |f| f.p99, false),
                cell(rounds, |f| f.cpu, false),
                cell(rounds, |f| f.sleeps, false),
            );
        }
    }
}

type Run = std::pin::Pin<Box<dyn Future<Output = Figures>>>;
