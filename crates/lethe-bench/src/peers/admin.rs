//! Single calls beside the load: to set servers up.

use serde_json::Value;

use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::Connection;

/// The methods that are needed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    /// Does.
    Post,
    /// Sets.
    Put,
}

/// Calls over a connection of its own; `headers` are whole lines. Any 2xx is fine.
pub(crate) async fn call(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    headers: &str,
    body: &Value,
) -> Result<Value, BenchError> {
    let method = match method {
        Method::Post => "POST",
        Method::Put => "PUT",
    };
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        endpoint.address,
        body.len()
    );
    let mut connection = Connection::open(endpoint).await?;
    let response = connection
        .exchange(request.as_bytes())
        .await
        .map_err(BenchError::io(format!("{method} {path}")))?;
    let text = String::from_utf8_lossy(&response.body);
    if !(200..300).contains(&response.status) {
        return Err(BenchError::WrongAnswer(format!(
            "{method} {path}: {} {text}",
            response.status
        )));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text)
        .map_err(|error| BenchError::WrongAnswer(format!("{method} {path}: {error}")))
}
