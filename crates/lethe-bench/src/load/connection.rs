use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
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

/// Connects, without TLS.
pub(crate) async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let socket = match endpoint.source {
        Some(source) => {
            let socket = TcpSocket::new_v4()?;
            socket.bind((source, 0).into())?;
            socket.connect(endpoint.address).await?
        }
        None => TcpStream::connect(endpoint.address).await?,
    };
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Connects and shakes hands.
pub(crate) async fn handshake(endpoint: &Endpoint) -> io::Result<TlsStream<TcpStream>> {
    let socket = connect(endpoint).await?;
    TlsConnector::from(endpoint.tls.clone())
        .connect(endpoint.name.clone(), socket)
        .await
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, BenchError> {
        let what = format!("connecting to {}", endpoint.address);
        Ok(Self {
            stream: handshake(endpoint).await.map_err(BenchError::io(what))?,
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
