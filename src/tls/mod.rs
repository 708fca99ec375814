//! TLS 1.3 with client certificates, and who stands behind one.

mod acceptor;
mod peer;

pub use acceptor::{TlsError, server_config};
pub use peer::Peer;

#[cfg(test)]
mod tests;
