//! The control server: the service's stack (axum, hyper, rustls with client certificates, TLS 1.3,
//! no tickets) that reads a body and answers 300 fixed bytes. What is left of its throughput is
//! what key management costs.

mod serve;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::error::BenchError;
use crate::pki;

/// The path it answers: as long as the service's own.
pub(crate) const PATH: &str = "/v1/keyspaces/chat/data-keys";

/// How its threads share the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Threads {
    /// One tokio runtime; tasks move between its threads.
    Shared,
    /// A runtime for each thread; one accepts and hands sockets over in turn.
    HandOver,
    /// A runtime and a listening socket (SO_REUSEPORT) for each thread.
    Reuseport,
}

/// How HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Http {
    /// hyper-util's: looks at the first bytes for HTTP/2.
    Auto,
    /// hyper's HTTP/1.1 connection.
    Http1,
}

/// Its settings.
#[derive(Debug, Clone, clap::Args)]
pub struct Control {
    /// A folder with ca.crt, server.crt and server.key; made when missing
    #[arg(long)]
    pki: PathBuf,
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, value_enum, default_value = "shared")]
    threads: Threads,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    #[arg(long, value_enum, default_value = "auto")]
    http: Http,
    /// Leave Nagle's algorithm on
    #[arg(long)]
    delay: bool,
    /// A limit to the time that a request's head may take, as against slow clients
    #[arg(long)]
    head_timeout: bool,
    /// Copy head and body into one buffer instead of a vectored write
    #[arg(long)]
    flatten: bool,
}

impl Control {
    /// Serves until killed; prints `control ready https://ADDR`.
    ///
    /// # Errors
    /// [`BenchError`] when it cannot listen.
    pub fn run(&self) -> Result<(), BenchError> {
        pki::ensure(&self.pki)?;
        serve::run(self, tls::acceptor(&self.pki)?, router())
    }
}

/// As many bytes as an issued key's answer has.
const BODY: &str = concat!(
    r#"{"conversation":"room-0000000000","data_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","#,
    r#""wrapped_key":"lethe:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","#,
    r#""version":1,"use_until":"2030-01-01T00:00:00.000Z","cache_until":"2030-01-01T00:00:00.0Z","expires":"2030-01"}"#,
);

/// Whether a body is the control's.
pub(crate) fn is_right(body: &[u8]) -> bool {
    body == BODY.as_bytes()
}

fn router() -> Router {
    Router::new().route(PATH, post(answer))
}

async fn answer(body: Bytes) -> (StatusCode, [(HeaderName, HeaderValue); 1], &'static str) {
    let status = if body.is_empty() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::CREATED
    };
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], BODY)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_is_300_bytes_of_json() {
        assert_eq!(super::BODY.len(), 300);
        assert!(serde_json::from_str::<serde_json::Value>(super::BODY).is_ok());
    }
}
