use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use hyper::header::HeaderValue;
use hyper::{StatusCode, header};
use lethe_core::batch::BatchError;
use lethe_core::clock::Judgement;
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::InvalidPolicy;
use lethe_core::ports::StoreError;
use serde::Serialize;

use super::answer::response;
use crate::approvals::{ApproveError, WithdrawError};
use crate::erasure::AcceptError;
use crate::leader::KeeperError;
use crate::limits::Exceeded;

/// Every error code of the API. The names are also labels in metrics and outcomes in audit records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "docs/reference/errors.md explains each")]
pub enum Code {
    InvalidRequest,
    InvalidWrappedKey,
    Forbidden,
    UnknownKeyspace,
    NotFound,
    Conflict,
    TooManyBuckets,
    TooManyApprovals,
    Shredded,
    Expired,
    VersionRetired,
    TooLarge,
    QuotaExceeded,
    UnsupportedMediaType,
    ExpectationFailed,
    MethodNotAllowed,
    HsmUnavailable,
    StoreUnavailable,
    AuditUnavailable,
    LeaseLost,
    ClockSuspect,
    Overloaded,
}

impl Code {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidWrappedKey => "invalid_wrapped_key",
            Self::Forbidden => "forbidden",
            Self::UnknownKeyspace => "unknown_keyspace",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooManyBuckets => "too_many_buckets",
            Self::TooManyApprovals => "too_many_approvals",
            Self::Shredded => "shredded",
            Self::Expired => "expired",
            Self::VersionRetired => "version_retired",
            Self::TooLarge => "too_large",
            Self::QuotaExceeded => "quota_exceeded",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::ExpectationFailed => "expectation_failed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::HsmUnavailable => "hsm_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::AuditUnavailable => "audit_unavailable",
            Self::LeaseLost => "lease_lost",
            Self::ClockSuspect => "clock_suspect",
            Self::Overloaded => "overloaded",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::InvalidWrappedKey => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnknownKeyspace | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict | Self::TooManyBuckets | Self::TooManyApprovals => StatusCode::CONFLICT,
            Self::Shredded | Self::Expired | Self::VersionRetired => StatusCode::GONE,
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::HsmUnavailable
            | Self::StoreUnavailable
            | Self::AuditUnavailable
            | Self::LeaseLost
            | Self::ClockSuspect
            | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An error as clients see it (RFC 9457). It contains no internal details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code that programs read.
    pub code: Code,
    /// The explanation that people read.
    pub detail: Cow<'static, str>,
    /// Seconds after which a retry may succeed. Sent as `Retry-After` with 429 and 503.
    pub retry_after: u64,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
}

impl Problem {
    /// Makes a problem of a code and its explanation.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: 1,
        }
    }

    /// The wall clock jumped, and no operator has confirmed it yet.
    pub(super) fn clock_suspect() -> Self {
        let detail = "the wall clock jumped: an operator has to look and say `lethe clock confirm`";
        Self::new(Code::ClockSuspect, detail)
    }

    /// Refuses a key that has expired, or may have expired.
    pub(super) fn of_expiry(judged: Judgement) -> Result<(), Self> {
        match judged {
            Judgement::Lives => Ok(()),
            Judgement::Expired => Err(Self::new(Code::Expired, "the key has expired")),
            Judgement::Suspect => Err(Self::clock_suspect()),
        }
    }

    /// A request that is not valid.
    pub fn invalid(detail: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidRequest, detail.to_string())
    }
}

/// The response that the client gets (RFC 9457).
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            code: self.code.name(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = response(status, kind, body);
        let passes = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if passes.contains(&status) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, self.retry_after.into());
        }
        response
    }
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        let (detail, left) = match exceeded {
            Exceeded::Quota(left) => ("this client has taken as much as its quota allows", left),
            Exceeded::Conversations(left) => (
                "this client has unwrapped as many different conversations as it may",
                left,
            ),
        };
        Self {
            // Rounded up. The quota has room by then. A sliding window has moved one step, which may not be enough.
            retry_after: left.as_secs() + 1,
            ..Self::new(Code::QuotaExceeded, detail)
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let code = match error {
            KeyError::UnknownKeyspace => Code::UnknownKeyspace,
            KeyError::Expired(_) => Code::Expired,
            KeyError::Shredded => Code::Shredded,
            KeyError::VersionRetired => Code::VersionRetired,
            KeyError::Invalid(_) => Code::InvalidWrappedKey,
            KeyError::UsedUp => Code::Conflict,
            KeyError::NoBucket => Code::HsmUnavailable,
            KeyError::Pending | KeyError::Missing(_) | KeyError::Entropy(_) => Code::Overloaded,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store failed");
        Self::new(Code::StoreUnavailable, "the store does not answer")
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        let code = match error {
            AcceptError::Key(error) => return error.into(),
            AcceptError::Store(error) => return error.into(),
            AcceptError::IdTaken
            | AcceptError::NewestVersion
            | AcceptError::NotWaiting
            | AcceptError::NeedsApproval(_)
            | AcceptError::Stale => Code::Conflict,
            AcceptError::TooManyWait | AcceptError::TooManyOfClient => Code::TooManyApprovals,
            AcceptError::NoVersion => Code::NotFound,
            AcceptError::Busy => Code::Overloaded,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ApproveError> for Problem {
    fn from(error: ApproveError) -> Self {
        let code = match error {
            ApproveError::Own => Code::Forbidden,
            ApproveError::Expired
            | ApproveError::Withdrawn
            | ApproveError::AskerGone
            | ApproveError::Outdated
            | ApproveError::Forgotten => Code::Conflict,
            ApproveError::Superseded(_) => Code::UnknownKeyspace,
            ApproveError::Accept(error) => return error.into(),
            ApproveError::Keeper(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<WithdrawError> for Problem {
    fn from(error: WithdrawError) -> Self {
        match error {
            WithdrawError::Approved | WithdrawError::Ended => {
                Self::new(Code::Conflict, error.to_string())
            }
            WithdrawError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidPolicy> for Problem {
    fn from(error: InvalidPolicy) -> Self {
        let code = match error {
            InvalidPolicy::TooManyBuckets { .. } => Code::TooManyBuckets,
            _ => Code::InvalidRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<KeeperError> for Problem {
    fn from(error: KeeperError) -> Self {
        tracing::warn!(%error, "a change was not made");
        match &error {
            KeeperError::TooManyBuckets { .. } => {
                Self::new(Code::TooManyBuckets, error.to_string())
            }
            KeeperError::UnknownKeyspace => Self::new(Code::UnknownKeyspace, error.to_string()),
            KeeperError::BeingErased
            | KeeperError::NeedsApproval(..)
            | KeeperError::NotWaiting
            | KeeperError::Outdated
            | KeeperError::SetAlone
            | KeeperError::MinimumVersion
            | KeeperError::NoOtherHsm
            | KeeperError::HsmMoveError(_)
            | KeeperError::TooManyVersions(_) => Self::new(Code::Conflict, error.to_string()),
            KeeperError::OtherHsm(_) => Self::new(Code::HsmUnavailable, error.to_string()),
            KeeperError::MayBeErased => Self::new(Code::Overloaded, error.to_string()),
            KeeperError::Stopping => Self::new(Code::Overloaded, "the service is stopping"),
            _ if error.is_full() => Self::new(Code::TooManyBuckets, "the HSM is full"),
            KeeperError::Batch(BatchError::Store(_)) => {
                Self::new(Code::StoreUnavailable, "the store does not answer")
            }
            KeeperError::Batch(_) => Self::new(Code::HsmUnavailable, "the HSM does not answer"),
        }
    }
}
