//! One connection that stays what it is: nothing reconnects behind the test's back.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::api::tls;
use super::{Dev, WAIT_LIMIT};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

pub struct Line {
    sender: Sender,
    connection: JoinHandle<()>,
    host: String,
}

impl Line {
    /// With the certificate at a path without extension; none when the handshake fails.
    pub async fn try_open(dev: &Dev, certificate: &Path, protocol: Protocol) -> Option<Self> {
        let mut config = tls(dev, Some(certificate), &[&version::TLS13]);
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        let tcp = TcpStream::connect(dev.listen).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let stream = TokioIo::new(connector.connect(name, tcp).await.ok()?);
        let (sender, connection) = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.ok()?;
                let connection = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http1(sender), connection)
            }
            Protocol::Http2 => {
                let made = http2::handshake(TokioExecutor::new(), stream).await;
                let (sender, connection) = made.ok()?;
                let connection = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http2(sender), connection)
            }
        };
        let mut line = Self {
            sender,
            connection,
            host: format!("https://{}", dev.listen),
        };
        // A client thinks that its handshake is done before the server has looked at it.
        line.get("/v1/openapi.json").await.map(|_| line)
    }

    pub async fn open(dev: &Dev, certificate: &Path, protocol: Protocol) -> Self {
        let opened = Self::try_open(dev, certificate, protocol).await;
        opened.unwrap_or_else(|| panic!("{} is not let in", certificate.display()))
    }

    pub async fn get(&mut self, path: &str) -> Option<(u16, Value)> {
        self.send("GET", path, "").await
    }

    /// A data key; the status of the answer, none without one.
    pub async fn issue(&mut self, keyspace: &str) -> Option<u16> {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys");
        let answer = self.send("POST", &path, r#"{"conversation":"a"}"#).await?;
        Some(answer.0)
    }

    /// Status and body; none when the connection ends instead.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let uri = match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("{}{path}", self.host),
        };
        let request = hyper::Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await.ok()?
            }
            Sender::Http2(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await.ok()?
            }
        };
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap()))
    }

    /// Waits until the server has closed it, without a word from this side.
    pub async fn closed(&mut self) {
        let ended = tokio::time::timeout(WAIT_LIMIT, &mut self.connection).await;
        assert!(ended.is_ok(), "the connection stays open");
    }

    /// Whether it is open as far as this side knows.
    pub fn is_open(&self) -> bool {
        !self.connection.is_finished()
    }
}
