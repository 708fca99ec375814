//! Traces by OTLP, where the configuration names a collector; without one nothing here runs.
//!
//! Spans have only texts of the program: routes as in the router, codes, counts. They have no
//! conversation, keyspace, key, and no id of a request or client. Of what a caller sent they have only
//! the two ids of its `traceparent`.

mod export;
mod parent;
mod trace;

use std::collections::HashMap;

use http::HeaderMap;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

pub use export::Delivery;
pub use trace::{SpanGuard, Trace};

use crate::config::TelemetrySection;
use crate::observability::metrics::Metrics;

/// Begins traces.
#[derive(Debug)]
pub struct Telemetry {
    tracer: SdkTracer,
    /// The method and path of each operation, by its name.
    routes: HashMap<&'static str, Route>,
}

/// What a span of an operation says.
#[derive(Debug)]
pub struct Route {
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path with its parameters, as the router has it.
    pub path: &'static str,
}

impl Telemetry {
    /// Starts traces; none if the configuration names no collector. Call it inside a runtime.
    ///
    /// # Errors
    /// If the exporter cannot be made. It is no error if the collector is away.
    pub fn start(
        section: &TelemetrySection,
        routes: HashMap<&'static str, Route>,
        metrics: &Metrics,
    ) -> Result<Option<(Self, Delivery)>, std::io::Error> {
        let endpoint = section.endpoint().map_err(std::io::Error::other)?;
        let Some(endpoint) = endpoint else {
            return Ok(None);
        };
        let resource = Resource::builder_empty()
            .with_service_name(section.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let time_limit = section.timeout;
        let client = export::client(time_limit);
        let (queue, delivery) =
            Delivery::start(client, &endpoint, time_limit, &resource, metrics.clone())?;
        let ratio = Sampler::TraceIdRatioBased(section.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        let telemetry = Self {
            tracer: provider.tracer("lethe"),
            routes,
        };
        Ok(Some((telemetry, delivery)))
    }

    /// The trace of a request that has come.
    #[must_use]
    pub fn request(&self, operation: &'static str, headers: &HeaderMap) -> Trace {
        let context = Context::new();
        let context = match parent::from_headers(headers) {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        let builder = SpanBuilder::from_name(operation).with_kind(SpanKind::Server);
        let mut span = self.tracer.build_with_context(builder, &context);
        if !span.is_recording() {
            return Trace::default();
        }
        if let Some(Route { method, path }) = self.routes.get(operation) {
            span.update_name(format!("{method} {path}"));
            span.set_attribute(KeyValue::new("http.request.method", method.clone()));
            span.set_attribute(KeyValue::new("http.route", *path));
            span.set_attribute(KeyValue::new("url.scheme", "https"));
        }
        Trace::from_span(&self.tracer, span)
    }

    /// The trace of a batch of erasures. It serves many requests, so it has a trace of its own.
    #[must_use]
    pub fn batch(&self, requests: usize) -> Trace {
        let builder = SpanBuilder::from_name("forget batch");
        let mut span = self.tracer.build_with_context(builder, &Context::new());
        if !span.is_recording() {
            return Trace::default();
        }
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        span.set_attribute(KeyValue::new("lethe.items", requests));
        Trace::from_span(&self.tracer, span)
    }
}
