//! TLS 1.3 with client certificates, and who stands behind one.

mod acceptor;
mod clients;
mod crl;
mod files;
mod peer;
mod public_key;
mod session;

pub use acceptor::{Tls, server_config};
pub use clients::Clients;
pub use files::TlsError;
pub use peer::Peer;
pub use session::{Nobody, Session};

#[cfg(test)]
mod tests;
