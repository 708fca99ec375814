use std::path::Path;

use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate, X509Error};
use x509_parser::time::ASN1Time;

use super::files::{TlsError, file};

/// A revocation list of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crl {
    pub(super) der: CertificateRevocationListDer<'static>,
    this_update: Timestamp,
    /// When its CA promises the next one.
    pub(super) next_update: Timestamp,
}

impl Crl {
    /// All lists of a file: PEM, any number; or DER, one.
    pub(super) fn load(path: &Path) -> Result<Vec<Self>, TlsError> {
        let bytes = std::fs::read(path).map_err(|error| file(path, &error))?;
        let ders = CertificateRevocationListDer::pem_slice_iter(&bytes);
        let mut ders: Vec<_> = ders
            .collect::<Result<_, _>>()
            .map_err(|error| file(path, &error))?;
        // DER begins with a SEQUENCE, which no PEM does.
        if ders.is_empty() && bytes.first() == Some(&0x30) {
            ders.push(bytes.into());
        }
        if ders.is_empty() {
            return Err(file(path, &"holds no revocation list"));
        }
        let read = |der| Self::of(der).map_err(|reason| file(path, &reason));
        ders.into_iter().map(read).collect()
    }

    fn of(der: CertificateRevocationListDer<'static>) -> Result<Self, &'static str> {
        let parsed = parse(&der).ok_or("is no revocation list")?;
        // RFC 5280 section 5.2 wants a number in each; without one it is of version 1.
        if parsed.crl_number().is_none() {
            return Err("a revocation list without a CRL number (version 1) is not supported");
        }
        let next = parsed.next_update();
        let next = next.ok_or("a revocation list without nextUpdate is not supported")?;
        let (this_update, next_update) = (timestamp(parsed.last_update()), timestamp(next));
        Ok(Self {
            der,
            this_update,
            next_update,
        })
    }

    /// Newest first: of several of one CA, the first one counts.
    pub(super) fn sort(lists: &mut [Self]) {
        lists.sort_by_key(|list| std::cmp::Reverse(list.this_update));
    }

    /// What it has to do with a CA.
    pub(super) fn issued_by(&self, authority: &X509Certificate<'_>) -> Issued {
        let Some(parsed) = parse(&self.der) else {
            return Issued::Elsewhere;
        };
        if parsed.issuer().as_raw() != authority.subject().as_raw() {
            return Issued::Elsewhere;
        }
        match parsed.verify_signature(authority.public_key()) {
            // What this library cannot check, the handshake does.
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => Issued::Here,
            Err(_) => Issued::ByNamesake,
        }
    }
}

/// Whether a list is of a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issued {
    /// By it.
    Here,
    /// By another key under the same name.
    ByNamesake,
    /// By somebody else, such as an intermediate CA.
    Elsewhere,
}

fn parse(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

/// Dates of X.509 have seconds; before 1970 is the epoch.
pub(super) fn timestamp(time: ASN1Time) -> Timestamp {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}
