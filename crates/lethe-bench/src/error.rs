use std::io;

/// Why a benchmark could not be run, or does not count.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file, a process or a connection failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A server answered something else than it should.
    #[error("wrong answer: {0}")]
    WrongAnswer(String),
    /// Certificates or TLS settings could not be made.
    #[error("certificates: {0}")]
    Tls(String),
    /// A server that is to be measured does not run.
    #[error("{0}")]
    Server(String),
}

impl BenchError {
    /// Says what was tried when `source` happened.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For errors of certificates and TLS.
    pub(crate) fn tls(error: impl std::fmt::Display) -> Self {
        Self::Tls(error.to_string())
    }
}
