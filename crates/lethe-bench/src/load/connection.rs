use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::response::{self, Response};
use crate::error::BenchError;
use crate::identity::Endpoint;

/// Room for the usual answer, so that the buffer does not grow while measuring.
const USUAL_ANSWER: usize = 16 * 1024;

/// One connection with keep-alive. A request is one TLS record and one system call.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, BenchError> {
        let what = || format!("connecting to {}", endpoint.address);
        let socket = TcpStream::connect(endpoint.address)
            .await
            .map_err(BenchError::io(what()))?;
        socket.set_nodelay(true).map_err(BenchError::io(what()))?;
        let stream = TlsConnector::from(endpoint.tls.clone())
            .connect(endpoint.name.clone(), socket)
            .await
            .map_err(BenchError::io(what()))?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(USUAL_ANSWER),
        })
    }

    /// Sends a whole request, waits for the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Response<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if response::parse(&self.received)?.is_some() {
                break;
            }
        }
        // Parsed again because the borrow checker does not let a borrow leave a loop that writes.
        response::parse(&self.received)?.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}
