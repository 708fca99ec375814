//! Errors as `application/problem+json` (RFC 9457).

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lethe_client::{Error, InvalidName};
use serde_json::json;

use crate::chat::ChatError;

/// The stable codes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    InvalidRequest,
    UnknownRoom,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    KeysUnavailable,
    Internal,
}

impl Code {
    const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::UnknownRoom => (StatusCode::NOT_FOUND, "unknown_room"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::KeysUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after_seconds: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = self.code.parts();
        let body = json!({
            "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
            "code": code, "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::UnknownRoom => Self::new(Code::UnknownRoom, error.to_string()),
            ChatError::Duplicate => Self::new(Code::Conflict, error.to_string()),
            ChatError::Keys(error) => keys(&error),
            ChatError::Seal(_) | ChatError::Store(_) => {
                tracing::error!(%error, "request failed");
                Self::new(Code::Internal, "the server failed; nothing was stored")
            }
        }
    }
}

/// Lethe's own words stay in the log: they are not for the users of this server.
fn keys(error: &Error) -> Problem {
    tracing::warn!(%error, "no keys");
    let asked = match error {
        Error::Service(problem) => problem.retry_after,
        _ => None,
    };
    let mut problem = Problem::new(Code::KeysUnavailable, "no keys can be had now");
    problem.retry_after_seconds = Some(asked.map_or(1, |asked| asked.as_secs()));
    problem
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        Self::new(Code::InvalidRequest, error.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            _ => Code::InvalidRequest,
        };
        Self::new(code, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::InvalidRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Code::InvalidRequest, rejection.body_text())
    }
}
