use std::net::SocketAddr;
use std::path::PathBuf;

use lethe_core::batch::{BatchError, Halt};
use lethe_core::ports::{AuditError, HsmError, StoreError};
use lethe_core::takeover::TakeoverError;

use crate::config::ConfigError;
use crate::identity::tls::TlsError;

/// Why the service does not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration, or a file that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database.
    #[error(transparent)]
    Store(StoreError),
    /// The device.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A person has to look.
    #[error("halted: {0}")]
    Halted(#[from] Halt),
    /// An address that cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Another process serves what would be taken over.
    #[error("the database at {0} is still served: stop that service first. Nothing was changed")]
    StillServed(PathBuf),
    /// Nobody can tell whether the store may be taken over.
    #[error(transparent)]
    Takeover(TakeoverError),
    /// Anything of the system.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Store and HSM together.
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
