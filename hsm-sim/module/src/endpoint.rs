//! Where the daemon is: behind a Unix socket, or elsewhere behind TLS.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use hsm_sim::tls::{Files, Server};

use crate::transport::Transport;

/// Names the socket in the environment.
const SOCKET: &str = "HSM_SIM_SOCKET";
/// Names host and port, and takes precedence: then the four below count.
const ADDRESS: &str = "HSM_SIM_ADDRESS";
/// The CA of the daemon's certificate.
const CA: &str = "HSM_SIM_CA";
/// Our certificate.
const CERTIFICATE: &str = "HSM_SIM_CERT";
/// The key to it.
const KEY: &str = "HSM_SIM_KEY";
/// What the daemon's certificate must bear, if not the host.
const NAME: &str = "HSM_SIM_NAME";

/// Where to connect to.
#[derive(Clone)]
pub enum Endpoint {
    /// The path of a Unix socket.
    Socket(PathBuf),
    /// Host, port and certificates.
    Tls(Server),
}

impl Endpoint {
    /// What the environment says, or else the caller's argument, or else `./hsm.sock`.
    pub fn find(
        argument: Option<&str>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> io::Result<Self> {
        if let Some(address) = variable(ADDRESS) {
            return tls(&text(ADDRESS, address)?, variable).map(Self::Tls);
        }
        let socket = variable(SOCKET)
            .map(PathBuf::from)
            .or_else(|| argument.map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("./hsm.sock"));
        Ok(Self::Socket(socket))
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<Transport> {
        match self {
            Self::Socket(path) => UnixStream::connect(path).map(Transport::from),
            Self::Tls(server) => server.connect().map(Transport::from),
        }
    }
}

fn tls(address: &str, variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Server> {
    let file = |name: &str| {
        let missing = || io::Error::other(format!("{ADDRESS} is set, but {name} is not"));
        variable(name).map(PathBuf::from).ok_or_else(missing)
    };
    let files = Files {
        ca: file(CA)?,
        certificate: file(CERTIFICATE)?,
        key: file(KEY)?,
    };
    let name = variable(NAME).map(|name| text(NAME, name)).transpose()?;
    Server::new(address, name.as_deref(), &files)
}

fn text(name: &str, value: OsString) -> io::Result<String> {
    value
        .into_string()
        .map_err(|_| io::Error::other(format!("{name} is no text")))
}
