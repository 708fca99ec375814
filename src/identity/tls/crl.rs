use std::path::Path;

use lethe_core::time::Timestamp;
use lethe_tls::pem;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::asn1_rs::Any;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::files::{TlsError, file, read};

/// How far the clock of a CA may be ahead of ours.
const CLOCK_DIFFERENCE: u64 = 5 * 60 * 1_000;

/// A revocation list of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crl {
    pub(super) der: CertificateRevocationListDer<'static>,
    /// The CRL number, big-endian, without leading zeros.
    pub(super) number: Vec<u8>,
    pub(super) this_update: Timestamp,
    /// When the CA promises the next list (`nextUpdate`).
    pub(super) next_update: Timestamp,
}

impl Crl {
    /// All lists of a file: any number in PEM, or one in DER.
    pub(super) fn load(path: &Path, now: Timestamp) -> Result<Vec<Self>, TlsError> {
        let ders = pem::revocation_lists(&read(path)?).map_err(|error| file(path, &error))?;
        let read = |der| Self::from_der(der, now).map_err(|reason| file(path, &reason));
        ders.into_iter().map(read).collect()
    }

    fn from_der(
        der: CertificateRevocationListDer<'static>,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let parsed = parse(&der).ok_or("is no revocation list")?;
        // RFC 5280 section 5.2 wants a number in each; without one it is of version 1.
        let number = parsed.crl_number();
        let number = number
            .ok_or("a revocation list without a CRL number (version 1) is not supported")?
            .to_bytes_be();
        let next = parsed.next_update();
        let next = next.ok_or("a revocation list without nextUpdate is not supported")?;
        let (this_update, next_update) = (timestamp(parsed.last_update()), timestamp(next));
        if this_update > now.saturating_add(CLOCK_DIFFERENCE) {
            return Err("is not valid yet (thisUpdate)");
        }
        Ok(Self {
            der,
            number,
            this_update,
            next_update,
        })
    }

    /// Newest first: of several of one CA, the first one counts.
    pub(super) fn sort(lists: &mut [Self]) {
        let age = |list: &Self| (list.number.len(), list.number.clone(), list.this_update);
        lists.sort_by_key(|list| std::cmp::Reverse(age(list)));
    }

    /// How the list relates to a CA, checked as the handshake checks it. A list that the handshake
    /// cannot check would lock out all clients of that CA.
    ///
    /// # Errors
    /// Why a list with the CA's name cannot be used.
    pub(super) fn issued_by(
        &self,
        authority: &X509Certificate<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Issued, String> {
        let parsed = parse(&self.der).ok_or("is no revocation list")?;
        if parsed.issuer().as_raw() != authority.subject().as_raw() {
            return Ok(Issued::Elsewhere);
        }
        if !self.is_signed_by(&parsed, authority, algorithms)? {
            return Ok(Issued::ByNamesake);
        }
        let usage = authority.key_usage().map_err(|error| error.to_string())?;
        if usage.is_some_and(|usage| !usage.value.crl_sign()) {
            return Err("its CA may not sign revocation lists (key usage)".into());
        }
        Ok(Issued::Here)
    }

    /// Whether the handshake can check how it is signed, whatever CA it is of: a list that it cannot
    /// check locks out all clients of an intermediate CA as well.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn check_algorithm(
        &self,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), String> {
        let signed_with = algorithm(&self.der, 1);
        let mut known = algorithms.all.iter();
        if known.any(|known| signed_with == Some(&known.signature_alg_id())) {
            return Ok(());
        }
        Err(self.unsupported())
    }

    fn unsupported(&self) -> String {
        let parsed = parse(&self.der);
        let id = parsed.map(|it| it.signature_algorithm.algorithm.to_id_string());
        let id = id.unwrap_or_default();
        format!("is signed with an algorithm that is not supported ({id})")
    }

    fn is_signed_by(
        &self,
        parsed: &CertificateRevocationList<'_>,
        authority: &X509Certificate<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<bool, String> {
        let key = authority.public_key();
        let signed_with = algorithm(&self.der, 1);
        let key_for = algorithm(key.raw, 0);
        let mut fitting = algorithms.all.iter().filter(|known| {
            signed_with == Some(&known.signature_alg_id())
                && key_for == Some(&known.public_key_alg_id())
        });
        let fitting = fitting.next().ok_or_else(|| self.unsupported())?;
        let (message, signature) = (parsed.tbs_cert_list.as_ref(), &parsed.signature_value.data);
        let key = &key.subject_public_key.data;
        Ok(fitting.verify_signature(key, message, signature).is_ok())
    }

    /// Whether the list can name clients. A list for CAs only cannot.
    pub(super) fn is_for_clients(&self) -> bool {
        self.scope().is_none_or(|(_, for_cas)| !for_cas)
    }

    /// The issuer and the kind of certificates: lists of one CA for different kinds are counted apart.
    pub(super) fn scope_bytes(&self) -> [u8; 2] {
        let scope = self.scope();
        scope.map_or([0, 0], |(clients, cas)| [clients.into(), cas.into()])
    }

    /// The kind of certificates that the list is for, if not for all: clients only, or CAs only.
    fn scope(&self) -> Option<(bool, bool)> {
        let parsed = parse(&self.der)?;
        let mut extensions = parsed.extensions().iter();
        extensions.find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(scope) => {
                Some((scope.only_contains_user_certs, scope.only_contains_ca_certs))
            }
            _ => None,
        })
    }

    /// The issuer that a list names.
    pub(super) fn issuer(&self) -> Vec<u8> {
        parse(&self.der).map_or_else(Vec::new, |parsed| parsed.issuer().as_raw().to_vec())
    }
}

/// What stands in the AlgorithmIdentifier that is a member of a SEQUENCE.
fn algorithm(sequence: &[u8], at: usize) -> Option<&[u8]> {
    let (_, sequence) = Any::from_der(sequence).ok()?;
    let mut rest = sequence.data;
    for _ in 0..at {
        rest = Any::from_der(rest).ok()?.0;
    }
    Any::from_der(rest).ok().map(|(_, found)| found.data)
}

/// Whether a CA has issued a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issued {
    /// The CA has issued the list.
    Here,
    /// A CA with the same name and another key has issued it.
    ByNamesake,
    /// Another CA has issued it, such as an intermediate CA.
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
