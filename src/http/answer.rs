use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{StatusCode, header};

use crate::admission::{ActiveRequest, RequestPermit};

/// Every answer is whole before its first byte leaves.
pub(super) type Response = hyper::Response<Content>;

/// An answer on its way.
pub(super) type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// An answer, or none.
pub(super) struct Reply(Option<Response>);

/// A request is not answered: its client has too many answers that it does not read.
#[derive(Debug, thiserror::Error)]
#[error("too many answers wait to be read")]
pub(super) struct Unanswered;

/// What an answer says.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// Held until the last byte is sent, or the connection given up: an answer that its client does
    /// not read takes memory as a request under way does.
    permit: Option<RequestPermit>,
}

/// What ends with the bytes.
struct Sent {
    content: Content,
    _active: ActiveRequest,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.content.bytes
    }
}

impl Reply {
    /// The answer to a request that was run.
    pub(super) fn answered(mut response: Response, mut permit: RequestPermit) -> Self {
        let content = response.body_mut();
        permit.answer(content.bytes.len());
        content.permit = Some(permit);
        Self(Some(response))
    }

    /// The answer to a request that was refused, which takes no place of one that is run.
    pub(super) fn refused(mut response: Response, mut permit: RequestPermit) -> Self {
        if !permit.refuse() {
            return Self(None);
        }
        response.body_mut().permit = Some(permit);
        Self(Some(response))
    }

    /// An answer that counts for nobody.
    pub(super) fn plain(response: hyper::Response<Vec<u8>>) -> Self {
        Self(Some(response.map(|bytes| Content {
            bytes,
            permit: None,
        })))
    }

    /// RFC 9110 section 9.3.2: HEAD is GET without the content, whose length is told all the same.
    pub(super) fn without_content(mut self) -> Self {
        if let Some(response) = &mut self.0 {
            let length = std::mem::take(&mut response.body_mut().bytes).len();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        self
    }

    /// For hyper, which drops the bytes when they are sent.
    pub(super) fn until_sent(
        self,
        active: ActiveRequest,
    ) -> Result<hyper::Response<Full<Bytes>>, Unanswered> {
        let response = self.0.ok_or(Unanswered)?;
        Ok(response.map(|content| {
            Full::new(Bytes::from_owner(Sent {
                content,
                _active: active,
            }))
        }))
    }
}

/// An answer of some kind of content, which ends with a line end.
pub(super) fn response(status: StatusCode, kind: HeaderValue, mut bytes: Vec<u8>) -> Response {
    bytes.push(b'\n');
    let content = Content {
        bytes,
        permit: None,
    };
    let mut response = Response::new(content);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
