use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::crl::timestamp;

/// The server's certificate, and those of CAs that are sent behind it, as clients will judge them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// When all those are valid that lead from the server's to a root.
    begin: Timestamp,
    /// When the first of those ends.
    pub(super) end: Timestamp,
}

impl ServerCertificate {
    /// # Errors
    /// Why no client would take it, today or ever.
    pub(super) fn new(chain: Vec<CertificateDer<'static>>) -> Result<Self, &'static str> {
        let parsed = chain.iter().map(|der| X509Certificate::from_der(der));
        let parsed: Result<Vec<_>, _> = parsed.map(|it| it.map(|(_, parsed)| parsed)).collect();
        let parsed = parsed.map_err(|_| "holds what is no certificate")?;
        let (own, behind) = parsed.split_first().ok_or("holds no certificate")?;
        check(own)?;
        let path = path(own, behind)?;
        let validity = || path.iter().map(|it| it.validity());
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

/// The certificates from the server's on that lead to a root: any order, and others beside them, are no fault
/// (RFC 8446, section 4.4.2). A root is not one of them: clients have it.
fn path<'a, 'b>(
    own: &'a X509Certificate<'b>,
    behind: &'a [X509Certificate<'b>],
) -> Result<Vec<&'a X509Certificate<'b>>, &'static str> {
    let mut path = vec![own];
    for _ in behind {
        let last = path[path.len() - 1];
        let issuers = behind.iter().filter(|it| it.subject() == last.issuer());
        let issuers: Vec<_> = issuers.filter(|it| it.issuer() != it.subject()).collect();
        let Some(named) = issuers.first() else {
            break;
        };
        let issuer = issuers.iter().find(|it| check_issuer(last, it).is_ok());
        match issuer {
            Some(issuer) => path.push(issuer),
            None => check_issuer(last, named)?,
        }
    }
    Ok(path)
}

/// Checks that a certificate with the name of another one's issuer is the issuer.
fn check_issuer(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Result<(), &'static str> {
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
