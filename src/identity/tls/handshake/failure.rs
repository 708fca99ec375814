use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use lethe_core::ports::Clock as _;
use lethe_tls::ChainError;
use parking_lot::Mutex;
use rustls::{CertificateError, Error, PeerIncompatible};

use super::stream::TooManyBytes;
use crate::node::clock::SystemClock;

/// Why a handshake failed. It is a label of metrics, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Closed without a byte: somebody looked whether the port is open. Not counted as failed.
    Probe,
    /// No byte came in the time allowed.
    Silent,
    /// It began, and was not done in the time allowed.
    TimedOut,
    /// The client closed the connection before the end.
    Disconnected,
    /// The client sent more bytes than a handshake may have.
    TooManyBytes,
    /// The bytes are not TLS, or break its rules.
    Protocol,
    /// The client offers no version from TLS 1.3 on.
    Version,
    /// There is no key exchange that both sides accept.
    KeyExchange,
    /// Another parameter of TLS has no value that both sides accept.
    Incompatible,
    /// The client refused the server's certificate, or sent another alert.
    RefusedByClient,
    /// The client showed no certificate.
    NoCertificate,
    /// The client's certificates are too many, or make no path.
    Chain,
    /// None of the client CAs has issued the client's certificate.
    UnknownIssuer,
    /// The client's certificate is not valid yet, or not any more.
    Expired,
    /// The client's certificate is on a revocation list.
    Revoked,
    /// No revocation list says whether the client's certificate is revoked.
    RevocationUnknown,
    /// The certificate is not for TLS clients.
    Purpose,
    /// Something else about the client's certificate is wrong.
    BadCertificate,
    /// The server failed.
    Internal,
}

impl Failure {
    /// All reasons that are counted as failures.
    pub const COUNTED: [Self; 18] = [
        Self::Silent,
        Self::TimedOut,
        Self::Disconnected,
        Self::TooManyBytes,
        Self::Protocol,
        Self::Version,
        Self::KeyExchange,
        Self::Incompatible,
        Self::RefusedByClient,
        Self::NoCertificate,
        Self::Chain,
        Self::UnknownIssuer,
        Self::Expired,
        Self::Revoked,
        Self::RevocationUnknown,
        Self::Purpose,
        Self::BadCertificate,
        Self::Internal,
    ];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Silent => "silent",
            Self::TimedOut => "timed_out",
            Self::Disconnected => "disconnected",
            Self::TooManyBytes => "too_many_bytes",
            Self::Protocol => "protocol",
            Self::Version => "version",
            Self::KeyExchange => "key_exchange",
            Self::Incompatible => "incompatible",
            Self::RefusedByClient => "refused_by_client",
            Self::NoCertificate => "no_certificate",
            Self::Chain => "chain",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::Purpose => "purpose",
            Self::BadCertificate => "bad_certificate",
            Self::Internal => "internal",
        }
    }

    /// The reason of an error that came after the client's first byte.
    pub(super) fn from_error(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
            return Self::from_tls(error);
        }
        match inner {
            Some(inner) if inner.is::<TooManyBytes>() => Self::TooManyBytes,
            _ => Self::Disconnected,
        }
    }

    fn from_tls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::from_certificate(error),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(_) => Self::RefusedByClient,
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => Self::Version,
            Error::PeerIncompatible(
                PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NamedGroupsExtensionRequired,
            ) => Self::KeyExchange,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::General(_)
            | Error::FailedToGetCurrentTime
            | Error::FailedToGetRandomBytes
            | Error::EncryptError => Self::Internal,
            _ => Self::Protocol,
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::Other(error) if error.0.is::<ChainError>() => Self::Chain,
            _ => Self::BadCertificate,
        }
    }
}

/// Time in which each reason is logged once. The next line says how many were left out.
const ONE_LINE_EVERY: Duration = Duration::from_secs(10);

/// Limits the log of failures, so that strangers cannot fill it.
#[derive(Debug, Default)]
pub(super) struct FailureLog(Mutex<HashMap<Failure, Logged>>);

#[derive(Debug, Clone, Copy, Default)]
struct Logged {
    at: Option<Duration>,
    left_out: u64,
}

impl FailureLog {
    pub(super) fn note(&self, reason: Failure, address: IpAddr, error: &io::Error) {
        if reason == Failure::Probe {
            return;
        }
        if let Some(left_out) = self.due(reason, SystemClock.since_boot()) {
            let reason = reason.label();
            tracing::warn!(reason, %error, %address, left_out, "a TLS handshake failed");
        }
    }

    /// Whether a line is due, and how many were left out since the last one.
    fn due(&self, reason: Failure, now: Duration) -> Option<u64> {
        let mut logged = self.0.lock();
        let logged = logged.entry(reason).or_default();
        let recent = |at: Duration| now.saturating_sub(at) < ONE_LINE_EVERY;
        if logged.at.is_some_and(recent) {
            logged.left_out += 1;
            return None;
        }
        logged.at = Some(now);
        Some(std::mem::take(&mut logged.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_each_reason_and_how_many_are_missing() {
        let log = FailureLog::default();
        let seconds = Duration::from_secs;
        assert_eq!(log.due(Failure::Expired, seconds(100)), Some(0));
        assert_eq!(log.due(Failure::Revoked, seconds(100)), Some(0));
        assert_eq!(log.due(Failure::Expired, seconds(101)), None);
        assert_eq!(log.due(Failure::Expired, seconds(109)), None);
        assert_eq!(log.due(Failure::Expired, seconds(110)), Some(2));
        assert_eq!(log.due(Failure::Expired, seconds(120)), Some(0));
    }

    #[test]
    fn every_reason_that_is_counted_has_a_label_of_its_own() {
        let labels = Failure::COUNTED.map(Failure::label);
        let different: std::collections::BTreeSet<_> = labels.iter().collect();
        assert_eq!(different.len(), labels.len());
        assert!(!labels.contains(&Failure::Probe.label()));
    }
}
