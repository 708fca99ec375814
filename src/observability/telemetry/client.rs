//! Plain HTTP/1.1 to a collector, one connection for each delivery.

use std::io::Error;
use std::pin::pin;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;

use super::resolver::Resolver;

/// Of a collector's answer: it only says what it did not take.
const MOST_BYTES: usize = 64 << 10;
/// Where an address names none.
const PORT: u16 = 80;

/// Whoever calls sets the time limit.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) resolver: Resolver,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let stream = self.connect(request.uri()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        to_origin_form(&mut request)?;
        let mut exchange = pin!(async move {
            let answer = sender.send_request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        });
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // It may have ended with the answer.
            _ = connection => exchange.await,
        }
    }
}

impl Client {
    async fn connect(&self, uri: &Uri) -> Result<TcpStream, HttpError> {
        let host = uri.host().ok_or_else(|| Error::other("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(PORT);
        let addresses = self.resolver.addresses(host, port).await?;
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// As a server, and no proxy, is asked: the host in a header, the path alone in the first line.
fn to_origin_form(request: &mut Request<Bytes>) -> Result<(), HttpError> {
    let authority = request.uri().authority();
    let host = authority.map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host)?;
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    request.headers_mut().insert(HOST, host);
    Ok(())
}
