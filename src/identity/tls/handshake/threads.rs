use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::observability::metrics::Metrics;

/// The nice value of the threads: they run after others when all processors are busy.
const NICER_BY: i32 = 2;

/// Threads for what strangers make the service compute: half as many as there are processors, with a
/// lower priority than all others. The sockets are polled here too, so that a handshake wakes no other
/// thread. No timers of others run here.
#[derive(Debug)]
pub(super) struct HandshakeThreads {
    handle: Handle,
    /// The runtime of the threads. It is taken out only when this value is dropped.
    runtime: Option<Runtime>,
}

impl HandshakeThreads {
    pub(super) fn start() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads((processors / 2).max(1))
            .thread_name("lethe-handshake")
            .on_thread_start(|| {
                // Some sandboxes do not allow the lower priority. Then the threads are like others.
                let _ = rustix::process::nice(NICER_BY);
            })
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for HandshakeThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped in a task that must not block.
            runtime.shutdown_background();
        }
    }
}

/// Counts the processor time of the threads.
pub(super) struct Timed<'a, F> {
    task: Pin<Box<F>>,
    metrics: &'a Metrics,
}

impl<'a, F> Timed<'a, F> {
    pub(super) fn new(task: F, metrics: &'a Metrics) -> Self {
        Self {
            task: Box::pin(task),
            metrics,
        }
    }
}

impl<F: Future> Future for Timed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let begun = used();
        let polled = self.task.as_mut().poll(context);
        self.metrics
            .handshake_computed(used().saturating_sub(begun));
        polled
    }
}

/// Processor time of this thread since its start.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
