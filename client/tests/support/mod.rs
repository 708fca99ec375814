//! A scripted TLS service: says what a test tells it to say, and keeps what it was asked. A double
//! for the behaviour of the protocol, not of Lethe.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)] // each test file uses its part

mod pki;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use lethe_client::{Client, ClientConfig, RetryPolicy, Timeouts};
use rustls::HandshakeKind;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

pub use pki::{Pki, Who};

/// One answer of the script.
#[derive(Clone)]
pub enum Say {
    Json(u16, Value),
    /// Status and JSON, made from what was asked.
    With(fn(&Asked) -> (u16, Value)),
    Text(u16, &'static str),
    /// With one header more.
    Header(u16, (&'static str, &'static str), Value),
    /// Closes the connection instead of answering.
    Cut,
    /// Sends a part of the answer, then breaks it off.
    CutBody,
    /// Never answers.
    Hang,
}

/// What the service was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: HeaderMap,
    pub body: Value,
    pub version: Version,
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Say>,
    asked: Vec<Asked>,
    handshakes: Vec<HandshakeKind>,
}

pub struct Service {
    pub pki: Pki,
    pub address: String,
    script: Arc<Mutex<Script>>,
}

impl Service {
    /// Answers in this order; asked once more than that it answers 500.
    pub async fn saying(replies: impl IntoIterator<Item = Say>) -> Self {
        Self::with_protocols(&["h2", "http/1.1"], replies).await
    }

    pub async fn with_protocols(
        protocols: &[&str],
        replies: impl IntoIterator<Item = Say>,
    ) -> Self {
        let pki = Pki::new();
        let script = Arc::new(Mutex::new(Script {
            replies: replies.into_iter().collect(),
            ..Script::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let mut tls = pki.server();
        tls.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        tokio::spawn({
            let script = Arc::clone(&script);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&script)));
                }
            }
        });
        Self {
            pki,
            address,
            script,
        }
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(
            &self.address,
            self.pki.ca(),
            self.pki.certificate(Who::Known),
            self.pki.key(Who::Known),
        );
        config.retries = RetryPolicy {
            attempts: 4,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(2),
        };
        config.timeouts = Timeouts {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(5),
            call: Duration::from_secs(10),
        };
        config
    }

    pub fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    /// One for each connection.
    pub fn handshakes(&self) -> Vec<HandshakeKind> {
        self.script.lock().unwrap().handshakes.clone()
    }
}

async fn serve(acceptor: tokio_rustls::TlsAcceptor, stream: TcpStream, script: Arc<Mutex<Script>>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let handshake = stream.get_ref().1.handshake_kind().unwrap();
    script.lock().unwrap().handshakes.push(handshake);
    let service = service_fn(move |request| answer(request, Arc::clone(&script)));
    // A cut connection is an error here, on purpose.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A body in one piece; broken off behind it if `cut`.
struct Piece {
    bytes: Option<Bytes>,
    cut: bool,
}

impl Body for Piece {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.bytes.take() {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None if self.cut => Some(Err("cut")),
            None => None,
        })
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Piece>, &'static str> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "body")?.to_bytes();
    let (reply, asked) = {
        let mut script = script.lock().unwrap();
        let asked = Asked {
            line: format!("{} {}", parts.method, parts.uri.path_and_query().unwrap()),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            version: parts.version,
        };
        script.asked.push(asked.clone());
        let over = Say::Json(500, json!({"code": "script_is_over"}));
        (script.replies.pop_front().unwrap_or(over), asked)
    };
    match reply {
        Say::Json(status, json) => Ok(response(status, None, &json.to_string(), false)),
        Say::With(answer) => {
            let (status, json) = answer(&asked);
            Ok(response(status, None, &json.to_string(), false))
        }
        Say::Text(status, text) => Ok(response(status, None, text, false)),
        Say::Header(status, header, json) => {
            Ok(response(status, Some(header), &json.to_string(), false))
        }
        Say::Cut => Err("cut"),
        Say::CutBody => Ok(response(200, None, "{\"conversation\":", true)),
        Say::Hang => std::future::pending().await,
    }
}

fn response(status: u16, header: Option<(&str, &str)>, body: &str, cut: bool) -> Response<Piece> {
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    let bytes = Some(Bytes::copy_from_slice(body.as_bytes()));
    response.body(Piece { bytes, cut }).unwrap()
}
