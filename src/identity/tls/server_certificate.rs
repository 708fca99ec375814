use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::crl::timestamp;

/// The server's certificate, and those of CAs that are sent behind it, as clients will judge them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// When all of them are valid.
    begin: Timestamp,
    /// When the first of them ends.
    pub(super) end: Timestamp,
}

impl ServerCertificate {
    /// # Errors
    /// Why no client would take it, today or ever.
    pub(super) fn new(chain: Vec<CertificateDer<'static>>) -> Result<Self, &'static str> {
        let parsed = chain.iter().map(|der| X509Certificate::from_der(der));
        let parsed: Result<Vec<_>, _> = parsed.map(|it| it.map(|(_, parsed)| parsed)).collect();
        let parsed = parsed.map_err(|_| "holds what is no certificate")?;
        let own = parsed.first().ok_or("holds no certificate")?;
        check(own)?;
        for pair in parsed.windows(2) {
            check_issuer(&pair[0], &pair[1])?;
        }
        let validity = || parsed.iter().map(|it| it.validity());
        let begin = validity().map(|it| timestamp(it.not_before)).max();
        let end = validity().map(|it| timestamp(it.not_after)).min();
        let (begin, end) = begin.zip(end).ok_or("holds no certificate")?;
        Ok(Self { chain, begin, end })
    }

    /// Why clients refuse it at a time; none if they accept it.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<&'static str> {
        if now < self.begin {
            return Some(
                "the server's certificate, or one behind it, is not valid yet: clients refuse it",
            );
        }
        (now > self.end)
            .then_some("the server's certificate, or one behind it, has expired: clients refuse it")
    }
}

/// Whether the next certificate of the chain is that of the CA that issued this one.
fn check_issuer(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Result<(), &'static str> {
    if certificate.issuer() != issuer.subject() {
        return Err("holds a certificate that is not of the CA that issued the one before it");
    }
    if !issuer.is_ca() {
        return Err(
            "holds, behind the server's, a certificate that is of no CA (basic constraints)",
        );
    }
    // An algorithm that is not known here may be known to clients.
    match certificate.verify_signature(Some(issuer.public_key())) {
        Err(X509Error::SignatureVerificationError) => Err(
            "holds a certificate of a CA with another key than the one that issued the one before it",
        ),
        _ => Ok(()),
    }
}

fn check(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    const TWICE: &str = "holds a certificate with an extension that is there twice";
    if certificate.is_ca() {
        return Err("holds a certificate of a CA (basic constraints): clients refuse it");
    }
    let purposes = certificate.extended_key_usage().map_err(|_| TWICE)?;
    if purposes.is_some_and(|purposes| !purposes.value.server_auth) {
        return Err("holds a certificate that is for no server (extended key usage)");
    }
    let usage = certificate.key_usage().map_err(|_| TWICE)?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err("holds a certificate that may not sign a handshake (key usage)");
    }
    let names = certificate.subject_alternative_name().map_err(|_| TWICE)?;
    let is_host = |name: &GeneralName<'_>| {
        matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))
    };
    match names {
        Some(names) if names.value.general_names.iter().any(is_host) => Ok(()),
        _ => Err("holds a certificate that names no host (subject alternative name)"),
    }
}
