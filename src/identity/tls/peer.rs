use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::crl::timestamp;
use super::public_key::key_id;
use crate::identity::SpiffeId;

/// Who a connection belongs to.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The only URI SAN of the certificate, if it is a SPIFFE id.
    pub spiffe_id: Option<SpiffeId>,
    /// When the certificate expires. After that no request is served, on open connections either.
    pub not_after: Timestamp,
    /// Identifies the certificate's key pair, however the public key is encoded. A renewed certificate
    /// may have the same one. Zeros if there is no certificate.
    pub key: [u8; 32],
}

impl Peer {
    /// Reads the end-entity certificate, which the handshake has verified.
    #[must_use]
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            // If rustls accepts a certificate that this parser does not, it names no client.
            return Self {
                spiffe_id: None,
                not_after: Timestamp::from_millis(0),
                key: [0; 32],
            };
        };
        let key = key_id(parsed.public_key());
        Self {
            // A certificate whose key pair cannot be identified names no client.
            spiffe_id: key.and_then(|_| spiffe_id(&parsed)),
            not_after: timestamp(parsed.validity().not_after),
            key: key.unwrap_or_default(),
        }
    }
}

/// X.509-SVID section 2: exactly one URI SAN.
fn spiffe_id(certificate: &X509Certificate<'_>) -> Option<SpiffeId> {
    let names = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        }
    });
    let mut uris = names.flatten().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let first = uris.next()?;
    uris.next().is_none().then(|| first.parse().ok())?
}
