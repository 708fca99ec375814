use std::sync::Arc;

use http::StatusCode;
use opentelemetry::trace::{Span as _, SpanBuilder, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

tokio::task_local! {
    static CURRENT: Trace;
}

/// The trace of a request or of a batch. Its span ends with the last clone, if it has not ended before. Empty if
/// the request or batch is not traced.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Traced>>);

struct Traced {
    tracer: SdkTracer,
    /// The context with the span of the whole request or batch.
    context: Context,
}

impl Trace {
    /// The trace of a span that is sampled.
    pub(super) fn from_span(tracer: &SdkTracer, span: Span) -> Self {
        Self(Some(Arc::new(Traced {
            tracer: tracer.clone(),
            context: Context::new().with_span(span),
        })))
    }

    /// The trace whose [`Self::within`] runs the caller; empty if there is none.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs `work` with this trace as [`Self::current`].
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }

    /// Begins a child span, which ends when the guard is dropped. Names are constants of the program: no caller
    /// chooses them.
    pub fn part(&self, name: &'static str) -> SpanGuard {
        SpanGuard(self.0.as_ref().map(|it| it.part(name)))
    }

    /// Begins a child span for a call of the HSM.
    pub fn hsm_call(&self, call: &'static str) -> SpanGuard {
        SpanGuard(self.0.as_ref().map(|it| it.part(format!("hsm {call}"))))
    }

    /// Sets the attributes of the answer, and ends the span of the request. `items` is 0 if the number is not
    /// known.
    pub fn answered(&self, status: StatusCode, code: &'static str, items: usize) {
        let Some(traced) = &self.0 else { return };
        let span = traced.context.span();
        let number = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new("http.response.status_code", number));
        span.set_attribute(KeyValue::new("lethe.code", code));
        if items > 0 {
            let items = i64::try_from(items).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new("lethe.items", items));
        }
        if status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", code));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// Marks the span of a batch as failed.
    pub fn failed(&self) {
        if let Some(traced) = &self.0 {
            traced.context.span().set_status(Status::error(""));
        }
    }
}

impl Traced {
    fn part(&self, name: impl Into<std::borrow::Cow<'static, str>>) -> Box<Span> {
        let builder = SpanBuilder::from_name(name);
        Box::new(self.tracer.build_with_context(builder, &self.context))
    }
}

/// A child span. It ends when this is dropped.
#[must_use]
pub struct SpanGuard(Option<Box<Span>>);

impl SpanGuard {
    /// Sets the result of a call. The span is marked as failed unless it is `ok`.
    pub fn result(&mut self, result: &'static str) {
        let Some(span) = &mut self.0 else { return };
        span.set_attribute(KeyValue::new("lethe.result", result));
        if result != "ok" {
            span.set_status(Status::error(""));
        }
    }
}
