use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lethe_core::time::Timestamp;
use lethe_tls::{Bounded, KeyExchange, TrustAnchors, provider};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::crl::{Crl, Issued};
use super::files::{TlsError, chain, file};
use super::list_marks::ListMarks;
use crate::config::ExpiredCrls;

/// Decides which client certificates are accepted: those of the client CAs that no revocation list
/// names. Handshakes and open connections use it.
#[derive(Debug)]
pub struct Clients {
    authorities: Vec<CertificateDer<'static>>,
    crls: Vec<Crl>,
    expired_crls: ExpiredCrls,
    /// A verifier for each group of CAs with different names; never empty. webpki takes the first list
    /// with the issuer's name, whoever signed it, so CAs with one name and different keys are kept
    /// apart.
    verifiers: Vec<Bounded<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
    subjects: Vec<DistinguishedName>,
}

impl PartialEq for Clients {
    /// They are equal if they are made of the same CAs, lists and `expired_crls`.
    fn eq(&self, other: &Self) -> bool {
        self.authorities == other.authorities
            && self.crls == other.crls
            && self.expired_crls == other.expired_crls
    }
}

impl Clients {
    /// Reads CAs and lists.
    ///
    /// # Errors
    /// [`TlsError`] with the file; also when there are lists but none of one of the CAs, which
    /// would lock its clients out, or one has expired and [`ExpiredCrls::Refuse`] would do so.
    pub fn load(
        client_ca: &Path,
        client_crls: &[PathBuf],
        expired_crls: ExpiredCrls,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let provider = provider(KeyExchange::default());
        let authorities = chain(client_ca)?;
        let mut crls = Vec::new();
        for path in client_crls {
            let lists = Crl::load(path, now)?;
            for list in &lists {
                usable(&authorities, list, &provider).map_err(|reason| file(path, &reason))?;
            }
            if expired_crls == ExpiredCrls::Refuse && lists.iter().any(|it| it.next_update < now) {
                return Err(file(path, &"has expired: its CA must issue a new one"));
            }
            crls.extend(lists);
        }
        Crl::sort(&mut crls);
        let groups = apart(client_ca, &authorities)?;
        let verifiers = groups.iter().map(|group| {
            verifier(group, &crls, expired_crls, &provider)
                .map_err(|reason| file(client_ca, &reason))
        });
        let verifiers: Vec<_> = verifiers.collect::<Result<_, _>>()?;
        let subjects = verifiers.iter().flat_map(|it| it.root_hint_subjects());
        let subjects = subjects.cloned().collect();
        Ok(Self {
            authorities,
            crls,
            expired_crls,
            verifiers,
            provider,
            subjects,
        })
    }

    /// The newest list of each CA and each kind of certificates.
    pub(super) fn newest_lists(&self) -> ListMarks {
        let algorithms = &self.provider.signature_verification_algorithms;
        let authorities = self.authorities.iter();
        let authorities: Vec<_> = authorities
            .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
            .collect();
        let mut marks = ListMarks::default();
        for list in &self.crls {
            let mut issuers = authorities.iter();
            let issuer = issuers.find(|it| list.issued_by(it, algorithms) == Ok(Issued::Here));
            let key = issuer.map_or(&[][..], |it| it.public_key().raw);
            marks.note(list, key);
        }
        marks
    }

    /// When the first list expires; none without lists.
    #[must_use]
    pub fn next_update(&self) -> Option<Timestamp> {
        self.crls.iter().map(|list| list.next_update).min()
    }

    /// Whether a list has expired since an earlier look. It is valid through its `nextUpdate`.
    #[must_use]
    pub fn any_list_ended(&self, before: Timestamp, now: Timestamp) -> bool {
        let ended = |list: &Crl| before <= list.next_update && list.next_update < now;
        self.crls.iter().any(ended)
    }

    /// Whether a chain, with the client's certificate first, is accepted at a time.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Error> {
        let (own, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
        self.verify_client_cert(own, rest, now).map(drop)
    }
}

/// The verifiers take all lists at once, and would not say which one they cannot use.
fn usable(
    authorities: &[CertificateDer<'static>],
    list: &Crl,
    provider: &Arc<CryptoProvider>,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let algorithms = &provider.signature_verification_algorithms;
    let provider = Arc::clone(provider);
    let built = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .with_crls([list.der.clone()])
        .build();
    built.map_err(|error| error.to_string())?;
    list.check_algorithm(algorithms)?;
    for authority in authorities {
        let (_, authority) = X509Certificate::from_der(authority).map_err(|it| it.to_string())?;
        list.issued_by(&authority, algorithms)?;
    }
    Ok(())
}

type Group<'a> = Vec<(&'a CertificateDer<'static>, X509Certificate<'a>)>;

/// Divides CAs into groups in which no two have the same name.
fn apart<'a>(
    path: &Path,
    authorities: &'a [CertificateDer<'static>],
) -> Result<Vec<Group<'a>>, TlsError> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for der in authorities {
        let parsed = X509Certificate::from_der(der);
        let (_, parsed) = parsed.map_err(|_| file(path, &"holds what is no certificate"))?;
        let namesake = |(_, other): &(_, X509Certificate<'_>)| other.subject() == parsed.subject();
        match groups.iter_mut().find(|group| !group.iter().any(namesake)) {
            Some(group) => group.push((der, parsed)),
            None => groups.push(vec![(der, parsed)]),
        }
    }
    Ok(groups)
}

fn verifier(
    group: &Group<'_>,
    crls: &[Crl],
    expired_crls: ExpiredCrls,
    provider: &Arc<CryptoProvider>,
) -> Result<Bounded<dyn ClientCertVerifier>, String> {
    let anchors: Vec<_> = group.iter().map(|(der, _)| (*der).clone()).collect();
    let anchors = TrustAnchors::new(&anchors).map_err(|error| error.to_string())?;
    let algorithms = &provider.signature_verification_algorithms;
    let mut roots = RootCertStore::empty();
    for (der, parsed) in group {
        let added = roots.add((*der).clone());
        added.map_err(|error| error.to_string())?;
        let listed = |list: &Crl| {
            list.is_for_clients() && list.issued_by(parsed, algorithms) == Ok(Issued::Here)
        };
        if !crls.is_empty() && !crls.iter().any(listed) {
            let name = parsed.subject();
            return Err(format!("server.client_crls has no list of '{name}'"));
        }
    }
    let of_namesake = |list: &Crl| {
        let mut issued = group
            .iter()
            .map(|(_, parsed)| list.issued_by(parsed, algorithms));
        issued.any(|issued| issued == Ok(Issued::ByNamesake))
    };
    let lists = crls.iter().filter(|list| !of_namesake(list));
    let provider = Arc::clone(provider);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .with_crls(lists.map(|list| list.der.clone()));
    if expired_crls == ExpiredCrls::Refuse {
        builder = builder.enforce_revocation_expiration();
    }
    let verifier = builder.build().map_err(|error| error.to_string())?;
    Ok(Bounded::new(anchors, verifier))
}

/// The error that says more: every CA that did not issue the certificate reports an unknown issuer.
const fn says_little(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)
    )
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut refusal = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for verifier in &self.verifiers {
            match verifier.verify_client_cert(end_entity, intermediates, now) {
                Ok(verified) => return Ok(verified),
                Err(error) if says_little(&refusal) => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            rustls::PeerIncompatible::Tls12NotOffered,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
