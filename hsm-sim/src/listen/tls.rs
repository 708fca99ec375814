use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::{Files, handshake, server_config, tune};

/// Connections at one time, those in their handshake included. What comes beyond is hung up on.
const MOST: usize = 256;

/// A connection whose client showed a good certificate.
pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

/// Where to listen for TLS, and with which certificates.
#[derive(Debug, Clone)]
pub struct Listen {
    /// `host:port`; port 0 lets the system choose.
    pub address: String,
    /// The daemon's certificate and the CA of its clients.
    pub files: Files,
}

/// A bound address, not served yet.
pub(crate) struct Listener {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Listener {
    pub(crate) fn bind(wanted: &Listen) -> io::Result<Self> {
        let config = server_config(&wanted.files)?;
        let address = wanted.address.as_str();
        let listener = TcpListener::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        Ok(Self { listener, config })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Talks with whoever connects and may.
    pub(crate) fn serve<T>(self, talk: T)
    where
        T: Fn(Stream) + Clone + Send + 'static,
    {
        // Each connection holds one more reference: their number is that of the connections.
        let places = Arc::new(());
        thread::spawn(move || {
            for tcp in self.listener.incoming() {
                match tcp {
                    Ok(tcp) if Arc::strong_count(&places) <= MOST => {
                        self.welcome(tcp, Arc::clone(&places), talk.clone());
                    }
                    Ok(_) => {}
                    // Out of descriptors, as a rule: the next try would fail at once as well.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        });
    }

    fn welcome(&self, tcp: TcpStream, place: Arc<()>, talk: impl FnOnce(Stream) + Send + 'static) {
        let config = Arc::clone(&self.config);
        // A connection that finds no thread is hung up on: no reason to end.
        let _ = thread::Builder::new().spawn(move || {
            if let Ok(stream) = accept(config, tcp) {
                talk(stream);
            }
            drop(place);
        });
    }
}

fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> io::Result<Stream> {
    tune(&tcp)?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    handshake(&mut connection, &tcp)?;
    Ok(StreamOwned::new(connection, tcp))
}
