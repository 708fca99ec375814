//! One call: its attempts, its pauses, its answer. Answers may hold data keys, so their bytes are
//! wiped when dropped.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{ServiceClock, since_boot};
use crate::config::{ClientConfig, ConfigError, Timeouts};
use crate::error::{Error, ErrorCode, Problem, Transport, TransportKind};
use crate::retry::RetryPolicy;
use crate::tls;

/// Longest answer that is read. A batch of 1,000 keys stays below a quarter of it; one of 1,000
/// shreds, receipts and openings of the longest ids included, below three quarters.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Whether a call may be sent again when its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Safe,
    Never,
}

/// What an answer should wait for (RFC 7240).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// The end of the work, as far as the service waits.
    Result,
    /// Nothing but that the work is accepted: `respond-async`.
    Acceptance,
}

pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the server's address, with a leading slash.
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) repeat: Repeat,
    pub(crate) prefer: Prefer,
}

/// An answer with a status of success.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        // serde_json names the place and the kind, and may quote a wrong value: that of a key never,
        // since `DataKey` words its own error. Types alone are told, to be sure.
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::unexpected(format!(
                "{:?} error in the body at column {}",
                error.classify(),
                error.column()
            ))
        })
    }
}

pub(crate) struct Connection {
    http: reqwest::Client,
    server: Url,
    timeouts: Timeouts,
    retries: RetryPolicy,
    pub(crate) clock: Arc<ServiceClock>,
}

impl Connection {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let server = server(&config.server)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(config)?)
            .https_only(true)
            .connect_timeout(config.timeouts.connect)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ConfigError::Tls(error.to_string()))?;
        Ok(Self {
            http,
            server,
            timeouts: config.timeouts,
            retries: config.retries,
            clock: Arc::default(),
        })
    }

    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.timeouts.call;
        for failed in 1.. {
            let error = match self.attempt(&request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = self.retries.pause(failed, &error, random());
            match pause {
                Some(pause)
                    if request.repeat == Repeat::Safe && Instant::now() + pause < deadline =>
                {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
        Err(timed_out())
    }

    async fn attempt(&self, request: &Request, deadline: Instant) -> Result<Answer, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut url = self.server.clone();
        let (path, query) = request.path.split_once('?').unzip();
        url.set_path(path.unwrap_or(&request.path));
        url.set_query(query);
        let mut http = self
            .http
            .request(request.method.clone(), url)
            .timeout(self.timeouts.attempt.min(left));
        if let Some(body) = &request.body {
            http = http
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        if request.prefer == Prefer::Acceptance {
            http = http.header("prefer", "respond-async");
        }
        let sent = since_boot();
        let mut response = http.send().await.map_err(Transport::from)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(shown) = service_time(&headers) {
            self.clock.learn(sent, shown);
        }
        let body = read(&mut response).await?;
        if status.is_success() {
            Ok(Answer {
                status: status.as_u16(),
                body,
            })
        } else {
            Err(problem(status.as_u16(), &headers, &body))
        }
    }
}

/// What the service's clock showed, in milliseconds since the Unix epoch: exactly, or within the second
/// that `Date` (RFC 9110) names.
fn service_time(headers: &HeaderMap) -> Option<(i64, i64)> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(exact) = text("lethe-time").and_then(|text| text.parse().ok()) {
        return Some((exact, exact));
    }
    let date = rfc2822::parse(text(DATE.as_str())?).ok()?;
    let second = Timestamp::from(&date).as_millisecond();
    Some((second, second + 999))
}

/// Reads the body into memory that is wiped, and wipes the pieces that it came in where no one
/// else holds them.
async fn read(response: &mut reqwest::Response) -> Result<Zeroizing<Vec<u8>>, Error> {
    let expected = response.content_length().unwrap_or(4096);
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    let mut body = Zeroizing::new(Vec::with_capacity(expected.min(MAX_ANSWER_BYTES)));
    while let Some(piece) = response.chunk().await.map_err(Transport::from)? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(Error::unexpected("longer than 4 MiB"));
        }
        reserve(&mut body, piece.len());
        body.extend_from_slice(&piece);
        if let Ok(mut piece) = piece.try_into_mut() {
            piece.zeroize();
        }
    }
    Ok(body)
}

/// Grows by hand: `Vec` would leave its old bytes behind unwiped.
fn reserve(body: &mut Zeroizing<Vec<u8>>, more: usize) {
    if body.capacity() - body.len() < more {
        let mut grown = Zeroizing::new(Vec::with_capacity((body.len() + more) * 2));
        grown.extend_from_slice(body);
        *body = grown;
    }
}

#[derive(Deserialize)]
struct ProblemJson {
    code: String,
    #[serde(default)]
    detail: String,
}

fn problem(status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse().ok());
    // A proxy's page is no problem document: the status alone then decides about a retry.
    let json: ProblemJson = serde_json::from_slice(body).unwrap_or_else(|_| ProblemJson {
        code: format!("http_{status}"),
        detail: "the answer is no problem document".into(),
    });
    Error::Service(Problem {
        code: ErrorCode::from(json.code.as_str()),
        status: Some(status),
        detail: json.detail,
        retry_after: retry_after.map(Duration::from_secs),
        request_id: header("x-request-id").map(str::to_owned),
    })
}

fn server(text: &str) -> Result<Url, ConfigError> {
    let refuse = || ConfigError::Server(text.to_owned());
    let url = Url::parse(text).map_err(|_| refuse())?;
    let bare = url.scheme() == "https"
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if bare { Ok(url) } else { Err(refuse()) }
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pause has no jitter; that is no reason to fail a call.
    let _ = rand::fill(&mut bytes);
    u32::from_be_bytes(bytes)
}

fn timed_out() -> Error {
    Error::Transport(Transport {
        kind: TransportKind::Timeout,
        message: "no attempt left".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_an_https_address_and_nothing_more() {
        assert!(server("https://localhost:8443").is_ok());
        assert!(server("https://localhost:8443/").is_ok());
        for bad in [
            "",
            "localhost:8443",
            "http://localhost",
            "https://a/v1",
            "https://u:p@a",
            "https://a?b",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_growing_body_keeps_its_bytes() {
        let mut body = Zeroizing::new(Vec::with_capacity(2));
        for byte in 0..100_u8 {
            reserve(&mut body, 1);
            body.extend_from_slice(&[byte]);
        }
        assert_eq!(*body, (0..100).collect::<Vec<u8>>());
    }
}
