use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{StatusCode, header};

use super::activity;
use crate::limits;

/// Every answer is whole before its first byte leaves.
pub(super) type Response = hyper::Response<Content>;

/// An answer on its way.
pub(super) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// Taken until the last byte is sent, or the connection given up: an answer that its client does
    /// not read takes memory as a request under way does.
    pub(super) place: Option<limits::UnderWay>,
}

/// What ends with the bytes.
struct Sent {
    content: Content,
    _under_way: activity::UnderWay,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.content.bytes
    }
}

impl Content {
    /// For hyper, which drops the bytes when they are sent.
    pub(super) fn until_sent(self, under_way: activity::UnderWay) -> Full<Bytes> {
        Full::new(Bytes::from_owner(Sent {
            content: self,
            _under_way: under_way,
        }))
    }
}

/// An answer of some kind of content.
pub(super) fn response(status: StatusCode, kind: HeaderValue, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Content { bytes, place: None });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
