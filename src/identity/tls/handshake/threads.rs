use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinHandle};

use crate::observability::metrics::Metrics;

/// How much less than others the threads are run when all processors are busy.
const NICER_BY: i32 = 2;

/// Threads for what strangers make us compute: half as many as there are processors, below all
/// others' priority. No timers run here.
#[derive(Debug)]
pub(super) struct HandshakeThreads {
    /// Taken only when this is dropped.
    runtime: Option<Runtime>,
}

impl HandshakeThreads {
    pub(super) fn start() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads((processors / 2).max(1))
            .thread_name("lethe-handshake")
            .on_thread_start(|| {
                // Some sandboxes do not allow it; then they are threads like others.
                let _ = rustix::process::nice(NICER_BY);
            })
            .build()?;
        let runtime = Some(runtime);
        Ok(Self { runtime })
    }

    /// Runs a task there, which ends when nobody waits for it any more; none if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
        metrics: &Metrics,
    ) -> Option<T> {
        let task = Timed {
            task: Box::pin(task),
            metrics: metrics.clone(),
        };
        let task: JoinHandle<T> = self.runtime.as_ref()?.spawn(task);
        let _aborted = AbortOnDrop(task.abort_handle());
        task.await.ok()
    }
}

impl Drop for HandshakeThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped where blocking is not allowed.
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts the processor's time.
struct Timed<F> {
    task: Pin<Box<F>>,
    metrics: Metrics,
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let begun = used();
        let polled = self.task.as_mut().poll(context);
        self.metrics
            .handshake_computed(used().saturating_sub(begun));
        polled
    }
}

/// By this thread, since it began.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
