//! Sends finished spans to the collector. Code that ends a span never waits: a span that does not fit
//! into the queue is dropped and counted.

use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
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

/// Most spans that may wait.
const WAITING: usize = 4_096;
/// Most spans in one delivery.
const TOGETHER: usize = 512;
/// Time from the first span of a delivery to its beginning.
const GATHERING: Duration = Duration::from_secs(1);
/// Time for all deliveries at the end.
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
        let export = ExportTask {
            exporter,
            spans,
            stopped,
            time_limit,
            metrics,
            fails: false,
        };
        let runtime = runtime()?;
        let task = runtime.spawn(export.run());
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

    /// Delivers the spans that wait, within [`FLUSH`]. Spans that are not delivered then are lost.
    pub async fn stop(mut self) {
        // The task may have ended.
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
    client_with(GaiResolver::new(), time_limit)
}

fn client_with<R>(resolver: R, time_limit: Duration) -> HyperClient<HttpConnector<R>>
where
    HttpConnector<R>: Connect + Clone + Send + Sync + 'static,
{
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.set_nodelay(true);
    HyperClient::new(connector, time_limit, None)
}

struct ExportTask {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    stopped: watch::Receiver<bool>,
    time_limit: Duration,
    metrics: Metrics,
    /// Whether the last delivery failed, which is logged only once.
    fails: bool,
}

impl ExportTask {
    async fn run(mut self) {
        loop {
            let spans = self.gather().await;
            if spans.is_empty() {
                return;
            }
            self.deliver(spans).await;
        }
    }

    /// The next spans: those that end within [`GATHERING`] after the first. Empty when there are no
    /// more to come.
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
    // A dropped sender means a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;
    use std::task::{Context, Poll};

    use hyper_util::client::legacy::connect::dns::Name;
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
    use tower::Service;

    use super::*;

    /// For what takes no time, on a busy machine.
    const SOON: Duration = Duration::from_secs(5);

    /// A resolver that blocks as that of the system does, and never answers. Counts the look-ups that have begun.
    #[derive(Debug, Clone, Default)]
    struct Hanging(Arc<AtomicU64>);

    impl Hanging {
        fn begun(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Service<Name> for Hanging {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = std::io::Error;
        type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let begun = Arc::clone(&self.0);
            let look_up = tokio::task::spawn_blocking(move || {
                begun.fetch_add(1, Ordering::Relaxed);
                loop {
                    std::thread::park();
                }
            });
            Box::pin(async { look_up.await? })
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

    /// Deliveries by the service's client, but for its resolver.
    fn start(hanging: &Hanging, time_limit: Duration, metrics: &Metrics) -> (SdkTracer, Delivery) {
        let client = client_with(hanging.clone(), time_limit);
        let endpoint = Uri::from_static("http://collector.example:4318/v1/traces");
        let resource = Resource::builder_empty().build();
        let started = Delivery::start(client, &endpoint, time_limit, &resource, metrics.clone());
        let (queue, delivery) = started.unwrap();
        let provider = SdkTracerProvider::builder().with_span_processor(queue);
        (provider.build().tracer("lethe"), delivery)
    }

    /// The end as a command has it: a stop, then a runtime that waits for all that blocks in it.
    #[test]
    fn a_resolver_that_hangs_does_not_hold_up_the_end() {
        let runtime = Runtime::new().unwrap();
        let stopped_in = runtime.block_on(async {
            let (hanging, (metrics, _)) = (Hanging::default(), Metrics::new());
            let (tracer, delivery) = start(&hanging, Duration::from_secs(60), &metrics);
            drop(tracer.start("a span"));
            until(|| hanging.begun() > 0).await;
            let begun = Instant::now();
            delivery.stop().await;
            begun.elapsed()
        });
        assert!(stopped_in < FLUSH + SOON, "{stopped_in:?}");
        let (done, ended) = channel();
        std::thread::spawn(move || {
            drop(runtime);
            done.send(()).unwrap();
        });
        ended.recv_timeout(SOON).expect("the runtime ends");
    }

    #[tokio::test]
    async fn a_resolver_that_hangs_takes_one_thread_of_all_deliveries() {
        let (hanging, (metrics, _)) = (Hanging::default(), Metrics::new());
        let (tracer, _delivery) = start(&hanging, Duration::from_millis(50), &metrics);
        for lost in 1..=3 {
            drop(tracer.start("a span"));
            until(|| metrics.spans_dropped.get() == lost).await;
        }
        assert_eq!(hanging.begun(), 1);
    }
}
