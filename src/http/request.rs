//! What surrounds the router: the id and the time of each request, what it occupies, and the headers that
//! every answer has, whether or not there is an endpoint for the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::header::{ALLOW, CONNECTION, EXPECT, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use lethe_core::time::Timestamp;
use parking_lot::Mutex;
use tower::Service as _;

use super::answer::Answer;
use super::connection::ConnectionContext;
use super::request_id::RequestId;
use super::state::ApiState;
use crate::admission::{ActiveRequest, RequestPermit};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The service's time in milliseconds, so that clients can keep leases on a monotonic clock.
const TIME: HeaderName = HeaderName::from_static("lethe-time");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// One request as its handler sees it, beside the request itself.
pub(super) struct RequestContext {
    pub(super) id: RequestId,
    /// Time of the request. It stays the same until the answer.
    pub(super) now: Timestamp,
    pub(super) connection: Arc<ConnectionContext>,
    /// What the request occupies of its client's shares.
    pub(super) permit: Mutex<RequestPermit>,
    /// The body was read to its end, or there is none. HTTP/1.1 cannot go on behind a body that was not.
    body_has_ended: AtomicBool,
    /// A task of its own carries the request out. It goes on after the request's timeout, and writes the record.
    in_own_task: AtomicBool,
}

impl RequestContext {
    /// Sets the headers that every answer has.
    fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.id.header());
        headers.insert(TIME, self.now.as_millis().into());
        if let Some(keep_alive) = &self.connection.keep_alive {
            match self.body_has_ended.load(Ordering::Relaxed) {
                true => headers.insert(KEEP_ALIVE, keep_alive.clone()),
                false => headers.insert(CONNECTION, HeaderValue::from_static("close")),
            };
        }
    }

    /// The body was read to its end.
    pub(super) fn body_ended(&self) {
        self.body_has_ended.store(true, Ordering::Relaxed);
    }

    /// From now on a task of its own carries the request out.
    pub(super) fn moves_to_own_task(&self) {
        self.in_own_task.store(true, Ordering::Relaxed);
    }

    /// A task of its own carries the request out.
    pub(super) fn is_in_own_task(&self) -> bool {
        self.in_own_task.load(Ordering::Relaxed)
    }

    /// A refusal has no record of its own, and its number is on record.
    pub(super) fn count_unrecorded(&self) {
        self.connection.account().count_unrecorded(1);
    }

    /// What the request occupies, for whoever holds it from now on.
    pub(super) fn take_permit(&self) -> RequestPermit {
        let empty = self.connection.account().request();
        std::mem::replace(&mut *self.permit.lock(), empty)
    }

    /// A refusal occupies a place among the answers, and none of a request that is run. Strangers wait
    /// for theirs when they send too many requests.
    async fn refuse(&self) -> Result<(), Unanswered> {
        if let Some(delay) = self.connection.account().answer_delay() {
            tokio::time::sleep(delay).await;
        }
        match self.permit.lock().refuse() {
            true => Ok(()),
            false => Err(Unanswered),
        }
    }
}

/// axum names HEAD right after GET in `Allow`. The API names it last.
fn name_head_last(headers: &mut HeaderMap) {
    let allowed = headers.get(ALLOW).and_then(|it| it.to_str().ok());
    let others = allowed.and_then(|it| it.strip_prefix("GET,HEAD,"));
    let ordered = others.and_then(|it| HeaderValue::from_str(&format!("GET,{it},HEAD")).ok());
    if let Some(ordered) = ordered {
        headers.insert(ALLOW, ordered);
    }
}

/// A request gets no answer: its client has too many answers that it does not read.
#[derive(Debug, thiserror::Error)]
#[error("too many answers wait to be read")]
pub(super) struct Unanswered;

/// What an answer holds until it is sent.
type Held = (RequestPermit, ActiveRequest);

/// Answers the requests of one connection.
pub(super) struct Responder {
    pub(super) router: Router,
    pub(super) service: Arc<ApiState>,
    pub(super) connection: Arc<ConnectionContext>,
}

impl Responder {
    pub(super) fn respond<B>(
        &self,
        mut request: Request<B>,
    ) -> impl Future<Output = Result<Response<Answer<Held>>, Unanswered>> + Send + use<B>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let active = self.connection.connection.begin();
        let context = Arc::new(RequestContext {
            id: RequestId::new(&self.service.entropy),
            now: self.service.node.now(),
            connection: Arc::clone(&self.connection),
            permit: Mutex::new(self.connection.account().request()),
            body_has_ended: AtomicBool::new(has_no_body(&request)),
            in_own_task: AtomicBool::default(),
        });
        request.extensions_mut().insert(Arc::clone(&context));
        let answer = self.router.clone().call(request);
        async move {
            let Ok(mut response) = answer.await;
            let status = response.status();
            if status.is_client_error() || status.is_server_error() {
                context.refuse().await?;
                name_head_last(response.headers_mut());
            } else {
                let bytes = response.body().size_hint().lower();
                context.permit.lock().answer(bytes as usize);
            }
            context.sign(response.headers_mut());
            // What goes on after its request has timed out holds the context, too.
            let permit = context.take_permit();
            Ok(response.map(|body| Answer::new(body, (permit, active))))
        }
    }
}

/// Nothing comes after the head. Whoever asks whether to send a body may still send one.
fn has_no_body<B: HttpBody>(request: &Request<B>) -> bool {
    request.body().is_end_stream() && !request.headers().contains_key(EXPECT)
}
