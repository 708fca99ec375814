//! The Rust client of Lethe: data keys over mutual TLS, and messages sealed with them.
//!
//! [`Client`] speaks the API, one method a call, with retries where they are safe. [`Messages`]
//! stands on it: it keeps data keys as long as their leases allow and not a moment longer, and
//! seals and opens messages in the envelope of `docs/FORMATS.md`. [`KeySource`] is what
//! [`Messages`] needs of a client, so that programs can be tested without a service.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;

mod batch;
mod cache;
mod calls;
mod client;
mod clock;
mod config;
mod data_key;
mod envelope;
mod error;
mod messages;
mod names;
mod retry;
mod shred;
mod source;
mod tls;
mod transport;
mod wire;

pub use calls::approvals::{Approval, ApprovalId};
pub use calls::data_keys::{IssuedKey, RewrappedKey, UnwrapRequest, UnwrappedKey};
pub use calls::keyspaces::{Keyspace, KeyspaceSettings, PutKeyspace};
pub use calls::verification_keys::VerificationKey;
pub use client::Client;
pub use clock::{Clock, ServiceClock, SystemClock};
pub use config::{ClientConfig, ConfigError, Timeouts};
pub use data_key::{DataKey, InvalidDataKey};
pub use envelope::{Context, Envelope, EnvelopeError, MAX_PLAINTEXT_BYTES, MESSAGES_PER_DATA_KEY};
pub use error::{Error, ErrorCode, Problem, Transport, TransportKind};
pub use messages::{CacheLimits, MessageError, Messages, Sealed};
pub use names::{
    Conversation, InvalidName, KeyspaceName, MessageId, Purpose, Retention, WrappedKey,
};
pub use retry::RetryPolicy;
pub use shred::{Shred, ShredId, ShredRequest, Shredded};
pub use source::KeySource;

/// Instants of the API.
pub use jiff::Timestamp;
