//! Single calls beside the load: to set servers up, and to see what they refuse.

use serde_json::Value;

use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::Connection;

/// The methods that are needed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The JSON of the body; null if there is none.
    pub(crate) body: Value,
}

impl Answer {
    /// Whether the call was carried out, and not only taken to wait.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.status, 200 | 201 | 204)
    }

    /// A text of its body; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

/// Calls over a connection of its own; `headers` are whole lines. Any 2xx is fine.
pub(crate) async fn call(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    headers: &str,
    body: &Value,
) -> Result<Value, BenchError> {
    let headers = format!("content-type: application/json\r\n{headers}");
    let answer = ask(endpoint, method, path, &headers, body).await?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let (method, status, body) = (method.name(), answer.status, answer.body);
    Err(BenchError::WrongAnswer(format!(
        "{method} {path}: {status} {body}"
    )))
}

/// The same, with no headers but those given; any answer is fine.
pub(crate) async fn ask(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    headers: &str,
    body: &Value,
) -> Result<Answer, BenchError> {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let method = method.name();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n{body}",
        endpoint.address,
        body.len()
    );
    let mut connection = Connection::open(endpoint).await?;
    let response = connection
        .exchange(request.as_bytes())
        .await
        .map_err(BenchError::io(format!("{method} {path}")))?;
    let body = if response.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&response.body)
            .map_err(|error| BenchError::WrongAnswer(format!("{method} {path}: {error}")))?
    };
    Ok(Answer {
        status: response.status,
        body,
    })
}
