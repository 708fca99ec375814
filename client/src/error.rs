//! What can go wrong with a call. The service's own refusals are kept apart from failures to reach it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a call failed. Cheap to clone: callers that waited for one call share its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The service answered and refused.
    #[error(transparent)]
    Service(#[from] Problem),
    /// No answer came, or only a part of it.
    #[error(transparent)]
    Transport(#[from] Transport),
    /// The answer is not what the API promises; the text says what is wrong with it.
    #[error("unexpected answer from the service: {0}")]
    UnexpectedAnswer(Arc<str>),
}

impl Error {
    pub(crate) fn unexpected(what: impl Into<Arc<str>>) -> Self {
        Self::UnexpectedAnswer(what.into())
    }

    /// The service's code, if it was the service that refused.
    #[must_use]
    pub const fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Service(problem) => Some(&problem.code),
            _ => None,
        }
    }
}

/// A refusal of the service: `application/problem+json`, or the `error` of one item of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// The code that programs decide by. It stays the same in later releases.
    pub code: ErrorCode,
    /// HTTP status of the answer; none for one item of a batch.
    pub status: Option<u16>,
    /// The explanation that people read.
    pub detail: String,
    /// How long the service asks to wait before the next try.
    pub retry_after: Option<Duration>,
    /// `x-request-id` of the answer, to find it in the service's logs.
    pub request_id: Option<String>,
}

macro_rules! error_codes {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)*) => {
        /// The service's stable codes.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$meta])* $variant,)*
            /// A code that this release of the client does not know.
            Other(Box<str>),
        }

        impl ErrorCode {
            /// The code as the service writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for ErrorCode {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

error_codes! {
    /// 400: the body, a name or a parameter does not fit.
    InvalidRequest = "invalid_request",
    /// 400: not ours, altered, or of another conversation or keyspace.
    InvalidWrappedKey = "invalid_wrapped_key",
    /// 202: it waits for a second operator; nothing is done yet.
    ApprovalRequired = "approval_required",
    /// 403: no identity, wrong role, or keyspace not granted.
    Forbidden = "forbidden",
    /// 403: this purpose may not unwrap.
    PurposeNotAllowed = "purpose_not_allowed",
    /// 404: no such keyspace.
    UnknownKeyspace = "unknown_keyspace",
    /// 404: nothing has this id or path.
    NotFound = "not_found",
    /// 409: the call contradicts the present state.
    Conflict = "conflict",
    /// 409: the HSM could not hold so many buckets.
    TooManyBuckets = "too_many_buckets",
    /// 409: as much waits for a second operator as may, of this client or in all.
    TooManyApprovals = "too_many_approvals",
    /// 410: the conversation was shredded.
    Shredded = "shredded",
    /// 410: its retention has ended.
    Expired = "expired",
    /// 410: its key version is gone.
    VersionRetired = "version_retired",
    /// 413: the body is too large.
    TooLarge = "too_large",
    /// 415: the body is not JSON.
    UnsupportedMediaType = "unsupported_media_type",
    /// 405: this path does not have this method.
    MethodNotAllowed = "method_not_allowed",
    /// 429: over the quota.
    QuotaExceeded = "quota_exceeded",
    /// 503: the HSM does not answer.
    HsmUnavailable = "hsm_unavailable",
    /// 503: the store does not answer.
    StoreUnavailable = "store_unavailable",
    /// 503: no record can be written, so no key leaves.
    AuditUnavailable = "audit_unavailable",
    /// 503: the node may not serve now.
    LeaseLost = "lease_lost",
    /// 503: the service doubts its clock.
    ClockSuspect = "clock_suspect",
    /// 503: too much is under way.
    Overloaded = "overloaded",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The service could not be reached, or its answer did not arrive.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Transport {
    /// The step that failed.
    pub kind: TransportKind,
    /// The causes, outermost first. They name no address and no key.
    pub message: Arc<str>,
}

/// The step that failed on the way to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// No connection could be made.
    Connect,
    /// One side did not accept the other's certificate or protocol; trying again will not help.
    Tls,
    /// No answer came within the configured time.
    Timeout,
    /// The connection broke before the answer was complete.
    Interrupted,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "cannot connect to the service",
            Self::Tls => "TLS with the service failed",
            Self::Timeout => "the service did not answer in time",
            Self::Interrupted => "the connection to the service broke",
        })
    }
}

impl From<reqwest::Error> for Transport {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let kind = if refused_in_tls(&error) {
            TransportKind::Tls
        } else if error.is_timeout() {
            TransportKind::Timeout
        } else if error.is_connect() {
            TransportKind::Connect
        } else {
            TransportKind::Interrupted
        };
        let message = causes(&error)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        Self {
            kind,
            message: message.into(),
        }
    }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

fn causes(error: &reqwest::Error) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(Some(error as Cause<'_>), |cause| {
        // An io::Error passes over the error that it wraps.
        let wrapped = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        wrapped.map(|inner| inner as Cause<'_>).or(cause.source())
    })
}

/// rustls gives `InvalidData`, and HTTP/2 keeps nothing more of it than that.
fn refused_in_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        cause.is::<rustls::Error>()
            || io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_what_they_write_and_unknown_ones_survive() {
        for text in ["expired", "shredded", "overloaded", "something_new"] {
            assert_eq!(ErrorCode::from(text).as_str(), text);
        }
        assert_eq!(ErrorCode::from("expired"), ErrorCode::Expired);
    }
}
