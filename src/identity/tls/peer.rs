use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::crl::timestamp;
use super::public_key::key_id;
use crate::identity::SpiffeId;

/// Who a connection belongs to.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The one URI SAN of the certificate, when it is a SPIFFE id.
    pub spiffe_id: Option<SpiffeId>,
    /// End of the certificate: no request is served after it, on open connections either.
    pub not_after: Timestamp,
    /// Names the certificate's key pair, however the public key is spelled: a renewed certificate may
    /// keep it. Zeros where nobody is there.
    pub key: [u8; 32],
}

impl Peer {
    /// Reads the end-entity certificate, which the handshake has verified.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            // rustls took it and this parser does not: nobody.
            return Self {
                spiffe_id: None,
                not_after: Timestamp::from_millis(0),
                key: [0; 32],
            };
        };
        let key = key_id(parsed.public_key());
        Self {
            // Who cannot be told from others is nobody.
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
