use std::net::SocketAddr;
use std::path::PathBuf;

use lethe_core::batch::{BatchError, Halt};
use lethe_core::claim::{Claim, StoreKind};
use lethe_core::ports::{AuditError, HsmError, StoreError};
use lethe_core::takeover::TakeoverError;

use crate::config::ConfigError;
use crate::identity::tls::TlsError;

/// Why the service does not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration, or a file that it names, cannot be read or is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates, keys or revocation lists cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be opened, or failed.
    #[error(transparent)]
    Store(StoreError),
    /// The HSM cannot be used, or failed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The audit log cannot be opened, or failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The service halted: it cannot know which state is right, and a person has to look.
    #[error("halted: {0}")]
    Halted(#[from] Halt),
    /// The service cannot listen on this address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Another process has the database open that the takeover would leave; its path.
    #[error("the database at {0} is still served: stop that service first. Nothing was changed")]
    StillServed(PathBuf),
    /// Another node has taken over, or the store has moved. The program can start again, and wait as a spare.
    #[error("{0}: this node waits as a spare")]
    Superseded(String),
    /// A signal has ended a node that waited as a spare.
    #[error("stopped")]
    Stopped,
    /// It is not certain that the store may take over the deployment.
    #[error(transparent)]
    Takeover(TakeoverError),
    /// A call of the operating system failed.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// A step that uses store and HSM failed.
    #[error("{0}")]
    Batch(BatchError),
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Altered(row) => Self::Halted(Halt::Altered(row)),
            error => Self::Store(error),
        }
    }
}

impl AppError {
    /// Why a node stops that has had the claim. Nodes that share a database replace each other; of anything else
    /// a person has to know.
    pub(super) fn after(halt: Halt) -> Self {
        let is_of_a_node = |claimed: &str, ours: &str| {
            let claims: (Result<Claim, _>, Result<Claim, _>) = (claimed.parse(), ours.parse());
            let (Ok(claimed), Ok(ours)) = claims else {
                return false;
            };
            ours.location.kind == StoreKind::Postgres
                && claimed.store == ours.store
                && claimed.location.is_same_place(&ours.location)
        };
        match halt {
            Halt::ForeignClaim { claimed, ours } if is_of_a_node(&claimed, &ours) => {
                Self::Superseded("another node has taken the claim in the HSM".into())
            }
            halt => Self::Halted(halt),
        }
    }
}

impl From<TakeoverError> for AppError {
    fn from(error: TakeoverError) -> Self {
        match error {
            TakeoverError::Batch(error) => error.into(),
            unknown => Self::Takeover(unknown),
        }
    }
}

impl From<BatchError> for AppError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Halt(halt) => Self::Halted(halt),
            BatchError::Store(error) => error.into(),
            BatchError::Hsm(error) => Self::Hsm(error),
            other => Self::Batch(other),
        }
    }
}
