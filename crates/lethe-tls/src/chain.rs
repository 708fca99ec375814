use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

/// Most certificates of a chain, with the peer's own.
pub const MOST_CERTIFICATES: usize = 7;
/// Most bytes of a chain.
pub const MOST_BYTES: usize = 32 << 10;

/// Why a chain is refused before any signature is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The chain has more than [`MOST_CERTIFICATES`] certificates; their number.
    #[error("the chain has {0} certificates, {MOST_CERTIFICATES} are allowed")]
    TooMany(usize),
    /// The certificates have more than [`MOST_BYTES`] bytes together; their number.
    #[error("the chain has {0} bytes, {MOST_BYTES} are allowed")]
    TooLarge(usize),
    /// Several certificates have the name of one issuer, so it is not clear which one has issued
    /// another.
    #[error("several certificates of the chain bear the name of one issuer")]
    Ambiguous,
    /// An intermediate CA whose key usage lacks `keyCertSign`.
    #[error("an intermediate CA may not sign certificates (key usage)")]
    MayNotSignCertificates,
    /// The peer's certificate has a key usage without `digitalSignature`.
    #[error("the certificate may not sign a handshake (key usage)")]
    MayNotSignHandshakes,
    /// A client's certificate with a key usage of a CA: not what an X.509-SVID may be.
    #[error("the client's certificate may sign certificates or revocation lists (key usage)")]
    SignsForOthers,
    /// More intermediate CAs than the CA at the end of the path allows.
    #[error("the path has {0} intermediate CAs, its CA allows {1} (path length)")]
    PathTooLong(usize, u32),
}

impl From<ChainError> for Error {
    fn from(reason: ChainError) -> Self {
        CertificateError::Other(OtherError(Arc::new(reason))).into()
    }
}

/// Why a certificate cannot be a trust anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The bytes are not exactly one certificate.
    #[error("holds what is no certificate")]
    NoCertificate,
    /// The certificate has no basic constraints that say that it is a CA.
    #[error("holds a certificate that is no CA (basic constraints)")]
    NoCa,
    /// The certificate has a key usage without `keyCertSign`.
    #[error("holds a CA that may not sign certificates (key usage)")]
    MayNotSign,
}

/// The CAs at which paths end.
#[derive(Debug, Clone)]
pub struct TrustAnchors(Vec<Anchor>);

#[derive(Debug, Clone)]
struct Anchor {
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    path_length: Option<u32>,
}

impl TrustAnchors {
    /// Anchors from the certificates of CAs.
    ///
    /// # Errors
    /// [`AnchorError`] if one of them is no CA.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Result<Self, AnchorError> {
        let anchors = certificates.iter().map(|der| Anchor::from_der(der));
        anchors.collect::<Result<_, _>>().map(Self)
    }

    /// The anchor of a certificate's issuer: one with the right key id before one without.
    fn issuer_of(&self, certificate: &X509Certificate<'_>, by: Match) -> Option<&Anchor> {
        self.0.iter().find(|anchor| {
            anchor.subject == certificate.issuer().as_raw()
                && (by == Match::Name || ids_agree(certificate, anchor.key_id.as_deref()))
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Name,
    NameAndKeyId,
}

impl Anchor {
    fn from_der(der: &CertificateDer<'_>) -> Result<Self, AnchorError> {
        let parsed = parse(der).ok_or(AnchorError::NoCertificate)?;
        let constraints = parsed.basic_constraints();
        let constraints = constraints.map_err(|_| AnchorError::NoCertificate)?;
        let constraints = constraints.map(|extension| extension.value);
        let constraints = constraints.filter(|constraints| constraints.ca);
        let path_length = constraints.ok_or(AnchorError::NoCa)?.path_len_constraint;
        let usage = parsed.key_usage().map_err(|_| AnchorError::NoCertificate)?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(AnchorError::MayNotSign);
        }
        Ok(Self {
            subject: parsed.subject().as_raw().to_vec(),
            key_id: key_id(&parsed).map(<[u8]>::to_vec),
            path_length,
        })
    }

    /// A path of intermediate CAs below it.
    fn admit<'a>(&self, path: &[&Other<'a>]) -> Result<Vec<CertificateDer<'a>>, Error> {
        match self.path_length {
            Some(most) if path.len() > most as usize => {
                Err(ChainError::PathTooLong(path.len(), most).into())
            }
            _ => Ok(path
                .iter()
                .map(|one| CertificateDer::from(one.der))
                .collect()),
        }
    }
}

/// The subject of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A chain as a peer sent it, within the bounds, each certificate parsed once.
pub(crate) struct Chain<'a> {
    own: X509Certificate<'a>,
    others: Vec<Other<'a>>,
}

struct Other<'a> {
    der: &'a [u8],
    parsed: X509Certificate<'a>,
}

impl<'a> Chain<'a> {
    /// Checks the bounds before anything is parsed. Certificates that cannot be parsed are left out.
    pub(crate) fn new(
        own: &'a CertificateDer<'_>,
        others: &'a [CertificateDer<'_>],
        side: Side,
    ) -> Result<Self, Error> {
        let count = others.len() + 1;
        if count > MOST_CERTIFICATES {
            return Err(ChainError::TooMany(count).into());
        }
        let bytes = own.len() + others.iter().map(|other| other.len()).sum::<usize>();
        if bytes > MOST_BYTES {
            return Err(ChainError::TooLarge(bytes).into());
        }
        let own = parse(own).ok_or(CertificateError::BadEncoding)?;
        check_own(&own, side)?;
        let others = others.iter().filter_map(|der| {
            let parsed = parse(der)?;
            Some(Other { der, parsed })
        });
        Ok(Self {
            own,
            others: others.collect(),
        })
    }

    /// The intermediate CAs from the peer's certificate up to the first one that an anchor issued,
    /// each once: there is one path or none, so that nothing is tried.
    pub(crate) fn path(&self, anchors: &TrustAnchors) -> Result<Vec<CertificateDer<'a>>, Error> {
        let mut path: Vec<&Other<'a>> = Vec::new();
        let mut current = &self.own;
        loop {
            if let Some(anchor) = anchors.issuer_of(current, Match::NameAndKeyId) {
                return anchor.admit(&path);
            }
            let Some(issuer) = self.issuer_of(current, &path)? else {
                let anchor = anchors.issuer_of(current, Match::Name);
                return anchor.ok_or(CertificateError::UnknownIssuer)?.admit(&path);
            };
            let usage = issuer.parsed.key_usage();
            let usage = usage.map_err(|_| CertificateError::BadEncoding)?;
            if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
                return Err(ChainError::MayNotSignCertificates.into());
            }
            path.push(issuer);
            current = &issuer.parsed;
        }
    }

    /// The one certificate of the chain that may have issued another and is not on the path yet.
    /// Nor is any other of its name: webpki, which knows no key ids, would try them in every order.
    fn issuer_of(
        &self,
        certificate: &X509Certificate<'_>,
        path: &[&Other<'a>],
    ) -> Result<Option<&Other<'a>>, Error> {
        let mut found: Option<&Other<'a>> = None;
        for other in &self.others {
            let is_issuer = other.parsed.subject().as_raw() == certificate.issuer().as_raw()
                && ids_agree(certificate, key_id(&other.parsed));
            if !is_issuer || path.iter().any(|known| known.der == other.der) {
                continue;
            }
            let differs = |known: &&Other<'_>| known.der != other.der;
            let namesake = |known: &&Other<'_>| {
                known.parsed.subject().as_raw() == other.parsed.subject().as_raw()
            };
            if found.as_ref().is_some_and(differs) || path.iter().any(namesake) {
                return Err(ChainError::Ambiguous.into());
            }
            found = Some(other);
        }
        Ok(found)
    }
}

fn check_own(own: &X509Certificate<'_>, side: Side) -> Result<(), Error> {
    let usage = own.key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let Some(usage) = usage.map(|extension| extension.value) else {
        return Ok(());
    };
    // RFC 8446 section 4.4.2: the peer signs the handshake with this key.
    if !usage.digital_signature() {
        return Err(ChainError::MayNotSignHandshakes.into());
    }
    if side == Side::Client && (usage.key_cert_sign() || usage.crl_sign()) {
        return Err(ChainError::SignsForOthers.into());
    }
    Ok(())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

/// Whether the key id that a certificate says of its issuer is that of another; what is not said
/// contradicts nothing.
fn ids_agree(certificate: &X509Certificate<'_>, issuer: Option<&[u8]>) -> bool {
    match (authority_key_id(certificate), issuer) {
        (Some(wanted), Some(own)) => wanted == own,
        _ => true,
    }
}

fn key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    let mut extensions = certificate.extensions().iter();
    extensions.find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

fn authority_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    let mut extensions = certificate.extensions().iter();
    extensions.find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().map(|key_id| key_id.0)
        }
        _ => None,
    })
}
