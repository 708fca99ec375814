use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use lethe_client::{Client, ClientConfig};

use super::Failure;
use crate::config::Config;

/// The service, and the client certificate to call it with.
#[derive(Args)]
pub(super) struct Remote {
    /// Address of the service: https://host:port.
    #[arg(long, env = "LETHE_SERVER")]
    server: Option<String>,
    /// CA of the service's certificate, PEM.
    #[arg(long, env = "LETHE_CA")]
    ca: Option<PathBuf>,
    /// Client certificate, PEM.
    #[arg(long, env = "LETHE_CERT")]
    cert: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    #[arg(long, env = "LETHE_KEY")]
    key: Option<PathBuf>,
    /// Folder of `lethe dev`: address, CA and the operator's certificate are taken from it.
    #[arg(long, env = "LETHE_DIR")]
    dir: Option<PathBuf>,
}

impl Remote {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let pki = self.dir.as_ref().map(|dir| dir.join("pki"));
        let file = |given: &Option<PathBuf>, name: &str, option: &str| {
            let found = given.clone().or_else(|| Some(pki.as_ref()?.join(name)));
            found.ok_or_else(|| missing(option))
        };
        let config = ClientConfig::new(
            self.address()?,
            file(&self.ca, "ca.crt", "--ca")?,
            file(&self.cert, "operator.crt", "--cert")?,
            file(&self.key, "operator.key", "--key")?,
        );
        Ok(Client::new(&config)?)
    }

    fn address(&self) -> Result<String, Failure> {
        match (&self.server, &self.dir) {
            (Some(server), _) => Ok(server.clone()),
            (None, Some(dir)) => {
                let config = Config::load(&dir.join("lethe.toml"))?;
                Ok(format!("https://{}", reachable(config.server.listen)))
            }
            (None, None) => Err(missing("--server")),
        }
    }
}

/// The address at which a service that listens on all addresses can be reached from the same machine,
/// with a name that its certificate has.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    SocketAddr::new(address, listen.port())
}

fn missing(option: &str) -> Failure {
    std::io::Error::other(format!(
        "{option} is needed, or --dir of a development service"
    ))
    .into()
}
