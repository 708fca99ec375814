use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::crl::timestamp;

/// The server's certificate as clients will judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerCertificate {
    der: CertificateDer<'static>,
    begin: Timestamp,
    pub(super) end: Timestamp,
}

impl ServerCertificate {
    /// # Errors
    /// Why no client would take it, today or ever.
    pub(super) fn new(der: &CertificateDer<'static>) -> Result<Self, &'static str> {
        let parsed = X509Certificate::from_der(der);
        let (_, parsed) = parsed.map_err(|_| "holds what is no certificate")?;
        check(&parsed)?;
        Ok(Self {
            der: der.clone(),
            begin: timestamp(parsed.validity().not_before),
            end: timestamp(parsed.validity().not_after),
        })
    }

    /// Why clients refuse it at a time.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<&'static str> {
        if now < self.begin {
            return Some("the server's certificate is not valid yet: clients refuse it");
        }
        (now > self.end).then_some("the server's certificate has expired: clients refuse it")
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
