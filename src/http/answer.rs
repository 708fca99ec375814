use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{StatusCode, header};

/// Every answer is whole before its first byte leaves.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// An answer on its way.
pub(super) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An answer of some kind of content.
pub(super) fn response(status: StatusCode, kind: HeaderValue, body: Vec<u8>) -> Response {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
