//! A connection to the daemon, plain or encrypted.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use hsm_sim::wire::{self, Request, Response};
use rustls::{ClientConnection, Stream};

use crate::state::lock;

/// Used by one call at a time; only [`Transport::shutdown`] may come at any moment.
pub enum Transport {
    /// The socket's file mode says who may use it.
    Unix(UnixStream),
    /// Both sides showed certificates.
    Tls(Box<Tls>),
}

/// The stream lies outside of the lock, so that it can be shut down under a call that hangs.
pub struct Tls {
    connection: Mutex<ClientConnection>,
    tcp: TcpStream,
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<(ClientConnection, TcpStream)> for Transport {
    fn from((connection, tcp): (ClientConnection, TcpStream)) -> Self {
        let connection = Mutex::new(connection);
        Self::Tls(Box::new(Tls { connection, tcp }))
    }
}

impl Transport {
    /// Sends one request and waits for its answer, however long the daemon takes.
    pub fn exchange(&self, request: &Request) -> io::Result<Response> {
        match self {
            Self::Unix(stream) => converse(&mut &*stream, request),
            Self::Tls(tls) => tls.with(|stream| converse(stream, request)),
        }
    }

    /// Asks an idle connection whether its other end still exists, without waiting.
    pub fn is_open(&self) -> bool {
        if self.set_nonblocking(true).is_err() {
            return false;
        }
        let read = match self {
            Self::Unix(stream) => (&mut &*stream).read(&mut [0; 1]),
            Self::Tls(tls) => tls.with(|stream| stream.read(&mut [0; 1])),
        };
        let restored = self.set_nonblocking(false).is_ok();
        // The daemon never speaks first: a byte here means the stream is out of step.
        restored && matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ends the connection, also under a call. Frames have a length, so the daemon needs no
    /// notice of the end, which would have to wait for the call.
    pub fn shutdown(&self) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tls(tls) => tls.tcp.shutdown(Shutdown::Both),
        };
    }

    fn set_nonblocking(&self, enabled: bool) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(enabled),
            Self::Tls(tls) => tls.tcp.set_nonblocking(enabled),
        }
    }
}

impl Tls {
    fn with<T>(&self, work: impl FnOnce(&mut Stream<'_, ClientConnection, &TcpStream>) -> T) -> T {
        let mut connection = lock(&self.connection);
        work(&mut Stream::new(&mut connection, &mut &self.tcp))
    }
}

fn converse(stream: &mut (impl Read + Write), request: &Request) -> io::Result<Response> {
    wire::send(stream, request)?;
    wire::receive(stream)
}
