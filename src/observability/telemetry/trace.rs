use std::sync::Arc;

use http::StatusCode;
use opentelemetry::trace::{Span as _, SpanBuilder, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

tokio::task_local! {
    static CURRENT: Trace;
}

/// What is traced of a request or of a batch. It ends with its last clone; one that is not traced is
/// a null pointer.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Traced>>);

struct Traced {
    tracer: SdkTracer,
    /// With the span of the whole.
    context: Context,
}

impl Trace {
    /// Of what the sampler took.
    pub(super) fn of(tracer: &SdkTracer, span: Span) -> Self {
        Self(Some(Arc::new(Traced {
            tracer: tracer.clone(),
            context: Context::new().with_span(span),
        })))
    }

    /// That in whose [`Self::within`] the caller runs.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs `work` so that it finds this by [`Self::current`].
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }

    /// A part of it, from now until it is dropped. Names are the program's, never a caller's.
    pub fn part(&self, name: &'static str) -> Part {
        Part(self.0.as_ref().map(|it| it.part(name)))
    }

    /// A call of the HSM.
    pub fn hsm_call(&self, call: &'static str) -> Part {
        Part(self.0.as_ref().map(|it| it.part(format!("hsm {call}"))))
    }

    /// A request's answer; it ends here. `items` is 0 where nobody knows.
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

    /// A batch was not finished.
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

/// A part that is under way; it ends when it is dropped.
#[must_use]
pub struct Part(Option<Box<Span>>);

impl Part {
    /// What came of a call; anything but `ok` is an error.
    pub fn result(&mut self, result: &'static str) {
        let Some(span) = &mut self.0 else { return };
        span.set_attribute(KeyValue::new("lethe.result", result));
        if result != "ok" {
            span.set_status(Status::error(""));
        }
    }
}
