use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::HeaderValue;
use hyper::{StatusCode, header};

/// The body of an answer, and what the request occupies until the last byte is sent or the connection is
/// given up. An answer that its client does not read takes memory like a request that is being run.
pub(super) struct Answer<H> {
    body: Body,
    held: Option<H>,
}

/// The bytes of an answer in hyper's buffer. hyper drops them when they are sent.
struct Sent<H> {
    bytes: Bytes,
    _held: H,
}

impl<H> AsRef<[u8]> for Sent<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<H> Answer<H> {
    /// The body of a router's answer. Every answer of ours is one frame.
    pub(super) const fn new(body: Body, held: H) -> Self {
        Self {
            body,
            held: Some(held),
        }
    }
}

impl<H: Send + Unpin + 'static> HttpBody for Answer<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let held = &mut self.held;
        let with_held = |bytes| match held.take() {
            Some(held) => Bytes::from_owner(Sent { bytes, _held: held }),
            None => bytes,
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(with_held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer of some kind of content, which ends with a line end.
pub(super) fn response(status: StatusCode, kind: HeaderValue, mut bytes: Vec<u8>) -> Response {
    bytes.push(b'\n');
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
