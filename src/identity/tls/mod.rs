//! TLS 1.3 with client certificates, and the client that a certificate names.

mod acceptor;
mod clients;
mod crl;
mod files;
mod handshake;
mod list_marks;
mod peer;
mod public_key;
mod server_certificate;
mod session;

pub use acceptor::{Tls, server_config};
pub use clients::Clients;
pub use files::TlsError;
pub use handshake::{Accepted, ClientStream, Failure, Handshakes};
pub use list_marks::ListMarks;
pub use peer::Peer;
pub use session::{Nobody, Session};

#[cfg(test)]
mod tests;
