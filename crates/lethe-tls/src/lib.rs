//! TLS as the service, its client and the simulator share it: which PEM files are read, how much of
//! a stranger's certificate chain is looked at, and which key exchanges are used.

mod chain;
mod key_exchange;
pub mod pem;
mod verifier;

pub use chain::{AnchorError, ChainError, MOST_BYTES, MOST_CERTIFICATES, TrustAnchors};
pub use key_exchange::{KeyExchange, is_hybrid, provider};
pub use verifier::Bounded;
