//! The bytes of a request's body: how many are read, and what becomes of the rest.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Version, header};
use parking_lot::Mutex;

use super::problem::{Code, Problem};
use super::request::RequestContext;
use crate::admission::{Connection, RequestPermit};

/// Largest body of a request.
const MOST_BYTES: usize = 1 << 20;
/// Largest body that is copied instead of kept in the buffer of the connection.
const SMALL: usize = 4_096;
/// How many bytes of a body that nobody needs are read and discarded.
const DISCARD_BYTES: u64 = 64 << 20;
/// How long such a body is read.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Checks the headers that describe the body of a request.
pub(super) fn check_headers(
    version: Version,
    headers: &HeaderMap,
    takes_body: bool,
) -> Result<(), Problem> {
    let unsupported = |why| Err(Problem::new(Code::UnsupportedMediaType, why));
    let media_type = headers.get(header::CONTENT_TYPE);
    if !media_type.map_or(!takes_body, is_json) {
        return unsupported("the body must be application/json");
    }
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return unsupported("the body must not have a content encoding such as gzip");
    }
    // Over HTTP/2 hyper does not send `100 Continue`, and some clients wait for it without a limit.
    if version == Version::HTTP_2 && headers.contains_key(header::EXPECT) {
        let why = "Expect: 100-continue is not supported over HTTP/2: send the body at once";
        return Err(Problem::new(Code::ExpectationFailed, why));
    }
    Ok(())
}

fn is_json(media_type: &HeaderValue) -> bool {
    let essence = media_type.as_bytes().split(|byte| *byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
}

/// Reads a body of at most [`MOST_BYTES`]. Its bytes count against the share of the client.
pub(super) async fn read(
    body: &mut Body,
    permit: &Mutex<RequestPermit>,
    connection: &Connection,
) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    if announced > MOST_BYTES as u64 {
        return Err(too_large());
    }
    let announced = announced as usize;
    if !permit.lock().begin_body(announced) {
        return Err(too_many_bytes());
    }
    let Some(first) = chunk(body, connection).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > announced && !permit.lock().read(first.len()) {
        return Err(too_many_bytes());
    }
    if body.is_end_stream() {
        return Ok(own(first));
    }
    let mut whole = Vec::with_capacity(announced.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(next) = chunk(body, connection).await? {
        let length = whole.len() + next.len();
        if length > MOST_BYTES {
            return Err(too_large());
        }
        if length > announced && !permit.lock().read(next.len()) {
            return Err(too_many_bytes());
        }
        whole.extend_from_slice(&next);
    }
    Ok(whole.into())
}

async fn chunk(body: &mut Body, connection: &Connection) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid("the body ended early"))?;
        if let Ok(data) = frame.into_data() {
            connection.took_body(data.len() as u64);
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, "the body is larger than 1 MiB")
}

fn too_many_bytes() -> Problem {
    Problem::new(Code::Overloaded, "too many bytes of bodies are under way")
}

/// Reads the rest of a body that nobody needs, within bounds, and discards it: of a refused request, and of a
/// call that takes none. Many clients send the whole body
/// before they read the answer, and report a failure when the connection is closed before that. A
/// client that waits for `100 Continue` sends no body.
pub(super) async fn discard(headers: &HeaderMap, body: &mut Body, context: &RequestContext) {
    if body.is_end_stream()
        || headers.contains_key(header::EXPECT)
        || body.size_hint().lower() > DISCARD_BYTES
    {
        return;
    }
    let mut left = DISCARD_BYTES;
    let all = async {
        while let Some(data) = chunk(body, &context.connection.connection).await.ok()? {
            left = left.checked_sub(data.len() as u64)?;
        }
        Some(())
    };
    if let Ok(Some(())) = tokio::time::timeout(DISCARD_TIME, all).await {
        context.body_ended();
    }
}

/// Copies a small body. While a request keeps a piece of the connection's buffer, hyper allocates a new
/// buffer of 8 KiB for the next bytes, and the allocator wipes it.
fn own(body: Bytes) -> Bytes {
    if body.len() <= SMALL {
        Bytes::copy_from_slice(&body)
    } else {
        body
    }
}
