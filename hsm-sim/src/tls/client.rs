use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

use lethe_tls::{Bounded, KeyExchange, provider};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, version};

use super::limits::{WAIT_LIMIT, handshake, tune};
use super::{Files, wrong};

/// A daemon elsewhere, and who we are to it.
#[derive(Debug, Clone)]
pub struct Server {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Server {
    /// The daemon at `host:port`, whose certificate must bear `name`, or the host if not said.
    /// Nothing is installed for the whole process: it may not be ours.
    ///
    /// # Errors
    /// When the address, the name or a file cannot be used.
    pub fn new(address: &str, name: Option<&str>, files: &Files) -> io::Result<Self> {
        let (host, port) = split(address)?;
        let name = name.unwrap_or(&host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let provider = provider(KeyExchange::HybridPreferred);
        let (roots, anchors) = files.authorities()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .map_err(|error| wrong(&files.ca, &error))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Bounded::new(anchors, verifier)))
            .with_client_auth_cert(files.chain()?, files.private_key()?)
            .map_err(|error| wrong(&files.certificate, &error))?;
        config.resumption = Resumption::disabled();
        Ok(Self {
            host,
            port,
            name,
            config: Arc::new(config),
        })
    }

    /// Connects and knows afterwards that it is the right daemon. Whether the daemon accepts us
    /// shows at the first answer only: so it is in TLS 1.3.
    ///
    /// # Errors
    /// When nobody answers in time, or somebody else.
    pub fn connect(&self) -> io::Result<(ClientConnection, TcpStream)> {
        let tcp = self.dial()?;
        tune(&tcp)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(io::Error::other)?;
        handshake(&mut connection, &tcp)?;
        Ok((connection, tcp))
    }

    fn dial(&self) -> io::Result<TcpStream> {
        let mut failure = io::Error::other("the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, WAIT_LIMIT) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// Host, without the brackets of an IPv6 address, and port.
fn split(address: &str) -> io::Result<(String, u16)> {
    let (host, port) = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| io::Error::other(format!("'{address}' is not host:port")))?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Ok((bare.unwrap_or(host).to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = |text| split(text).unwrap();
        assert_eq!(good("hsm.example.org:4711").0, "hsm.example.org");
        assert_eq!(good("[::1]:4711"), ("::1".to_owned(), 4711));
        for bad in ["", "host", ":1", "host:", "host:70000", "host:a"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
