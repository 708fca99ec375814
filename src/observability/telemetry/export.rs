//! From spans that ended to the collector. Whoever ends a span never waits: what does not fit into the
//! queue is dropped and counted.

use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::Context;
use opentelemetry_http::HttpClient;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::observability::metrics::Metrics;

/// Spans that wait, at most.
const WAITING: usize = 4_096;
/// Spans in one delivery.
const TOGETHER: usize = 512;
/// From the first span of a delivery to its begin.
const GATHERING: Duration = Duration::from_secs(1);
/// For all deliveries at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: Metrics,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped.inc();
        }
    }

    /// The delivery is flushed when it stops.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The task that delivers, and its runtime.
#[derive(Debug)]
pub struct Delivery {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    runtime: Option<Runtime>,
}

impl Delivery {
    /// Begins to deliver to `endpoint`.
    pub(super) fn start(
        client: impl HttpClient + 'static,
        endpoint: &Uri,
        time_limit: Duration,
        resource: &Resource,
        metrics: Metrics,
    ) -> Result<(Queue, Self), std::io::Error> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.to_string())
            .with_timeout(time_limit)
            .build();
        let mut exporter = exporter.map_err(std::io::Error::other)?;
        exporter.set_resource(resource);
        let (sender, spans) = mpsc::channel(WAITING);
        let (stop, stopped) = watch::channel(false);
        let queue = Queue {
            spans: sender,
            metrics: metrics.clone(),
        };
        let courier = Courier {
            exporter,
            spans,
            stopped,
            time_limit,
            metrics,
            fails: false,
        };
        let runtime = runtime()?;
        let task = runtime.spawn(courier.run());
        let runtime = Some(runtime);
        Ok((
            queue,
            Self {
                stop,
                task,
                runtime,
            },
        ))
    }

    /// Delivers what waits, for a short time; what is not delivered then is lost.
    pub async fn stop(mut self) {
        // It may have ended.
        let _ = self.stop.send(true);
        if timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last traces were not delivered");
        }
    }
}

impl Drop for Delivery {
    /// Does not wait for a look-up that hangs.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime waits at its end for all look-ups of names, and the resolver of the system can hang. So
/// deliveries have a runtime of their own, which nobody waits for. One thread looks names up.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .thread_name("lethe-traces")
        .enable_all()
        .build()
}

/// Plain HTTP to a collector.
pub(super) fn client(time_limit: Duration) -> HyperClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    HyperClient::new(connector, time_limit, None)
}

struct Courier {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    stopped: watch::Receiver<bool>,
    time_limit: Duration,
    metrics: Metrics,
    /// The last delivery failed, and the log says so.
    fails: bool,
}

impl Courier {
    async fn run(mut self) {
        loop {
            let spans = self.gather().await;
            if spans.is_empty() {
                return;
            }
            self.deliver(spans).await;
        }
    }

    /// What ends within a moment of the first; none when all is over.
    async fn gather(&mut self) -> Vec<SpanData> {
        let mut spans = Vec::new();
        let mut due = None;
        while spans.len() < TOGETHER {
            let room = TOGETHER - spans.len();
            let open = !self.spans.is_closed();
            let moment = sleep_until(due.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                () = stopped(&mut self.stopped), if open => self.spans.close(),
                () = moment, if due.is_some() && open => break,
                more = self.spans.recv_many(&mut spans, room) => if more == 0 {
                    break;
                },
            }
            due = due.or_else(|| Some(Instant::now() + GATHERING));
        }
        spans
    }

    async fn deliver(&mut self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        let delivered = match timeout(self.time_limit, self.exporter.export(spans)).await {
            Ok(delivered) => delivered.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".into()),
        };
        match delivered {
            Ok(()) => {
                self.metrics.spans_exported.inc_by(count);
                if self.fails {
                    tracing::info!("traces are delivered again");
                }
                self.fails = false;
            }
            Err(error) => {
                self.metrics.spans_dropped.inc_by(count);
                if !self.fails {
                    tracing::warn!(%error, "traces are not delivered, and are lost until they are");
                }
                self.fails = true;
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use async_trait::async_trait;
    use bytes::Bytes;
    use http::{Request, Response};
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_http::HttpError;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// For what takes no time, on a busy machine.
    const SOON: Duration = Duration::from_secs(5);

    fn park() -> ! {
        loop {
            std::thread::park();
        }
    }

    /// Looks a name up as the client does, and the resolver never answers.
    #[derive(Debug)]
    struct Hanging;

    static ASKED: AtomicBool = AtomicBool::new(false);

    #[async_trait]
    impl HttpClient for Hanging {
        async fn send_bytes(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let look_up = tokio::task::spawn_blocking(|| -> Result<_, HttpError> {
                ASKED.store(true, Ordering::Relaxed);
                park()
            });
            look_up.await?
        }
    }

    async fn until(happened: impl Fn() -> bool) {
        let look = async {
            while !happened() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON * 6, look).await.unwrap();
    }

    /// The end as a command has it: a stop, then a runtime that waits for all that blocks in it.
    #[test]
    fn a_resolver_that_hangs_does_not_hold_up_the_end() {
        let endpoint = Uri::from_static("http://collector.example:4318/v1/traces");
        let runtime = Runtime::new().unwrap();
        let stopped_in = runtime.block_on(async {
            let time_limit = Duration::from_secs(60);
            let resource = Resource::builder_empty().build();
            let (metrics, _) = Metrics::new();
            let (queue, delivery) =
                Delivery::start(Hanging, &endpoint, time_limit, &resource, metrics).unwrap();
            let provider = SdkTracerProvider::builder().with_span_processor(queue);
            drop(provider.build().tracer("lethe").start("a span"));
            until(|| ASKED.load(Ordering::Relaxed)).await;
            let begun = Instant::now();
            delivery.stop().await;
            begun.elapsed()
        });
        assert!(stopped_in < FLUSH + SOON, "{stopped_in:?}");
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            drop(runtime);
            tell.send(()).unwrap();
        });
        ended.recv_timeout(SOON).expect("the runtime ends");
    }

    #[tokio::test]
    async fn one_that_hangs_is_not_joined_by_others() {
        static HANGING: AtomicUsize = AtomicUsize::new(0);
        let runtime = super::runtime().unwrap();
        for _ in 0..3 {
            let look_up = runtime.spawn_blocking::<_, ()>(|| {
                HANGING.fetch_add(1, Ordering::Relaxed);
                park()
            });
            let answer = timeout(Duration::from_millis(50), look_up).await;
            assert!(answer.is_err());
        }
        until(|| HANGING.load(Ordering::Relaxed) > 0).await;
        assert_eq!(HANGING.load(Ordering::Relaxed), 1);
        runtime.shutdown_background();
    }
}
