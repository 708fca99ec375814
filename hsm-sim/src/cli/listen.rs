//! `hsm-sim serve --listen`

use std::path::PathBuf;

use crate::daemon::Listen;
use crate::tls::Files;

/// All four, or none.
#[derive(clap::Args)]
pub(super) struct Tls {
    /// Listens for mutual TLS 1.3 at HOST:PORT, beside the socket.
    #[arg(long, value_name = "HOST:PORT", requires_all = ["cert", "key", "client_ca"])]
    listen: Option<String>,
    /// The daemon's certificate (PEM).
    #[arg(long, requires = "listen")]
    cert: Option<PathBuf>,
    /// The key to it (PEM), which others must not be able to read.
    #[arg(long, requires = "listen")]
    key: Option<PathBuf>,
    /// Whose certificates clients must show (PEM).
    #[arg(long, requires = "listen")]
    client_ca: Option<PathBuf>,
}

impl Tls {
    /// Where to listen, if anywhere.
    pub(super) fn wanted(self) -> Option<Listen> {
        Some(Listen {
            address: self.listen?,
            files: Files {
                ca: self.client_ca?,
                certificate: self.cert?,
                key: self.key?,
            },
        })
    }
}
