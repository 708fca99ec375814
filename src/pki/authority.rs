use std::path::Path;
use std::time::Duration;

use lethe_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use super::files::{beside, write_private, write_public};
use crate::config::SpiffeId;

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    File(std::path::PathBuf, std::io::Error),
    /// The certificate cannot be made from the given name or key.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The name is neither a host name nor an address.
    #[error("'{0}' is no host name or address")]
    Name(String),
    /// The certificate was issued by another CA.
    #[error("{0} was not signed by this CA")]
    NotIssued(std::path::PathBuf),
    /// The certificate would end after the last date of X.509.
    #[error("the certificate would end after the year 9999")]
    TooLong,
}

/// End of the year 9999, the last date of X.509 (RFC 5280 section 4.1.2.5).
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// A CA whose key is in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a CA: `ca.crt` and `ca.key` in `folder`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn create(
        folder: &Path,
        name: &str,
        now: Timestamp,
        life: Duration,
    ) -> Result<(), PkiError> {
        let key = KeyPair::generate()?;
        let mut params = params(name, now, life)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        // The key is written first: a certificate without its key would look complete.
        save(&folder.join("ca.key"), &key.serialize_pem(), write_private)?;
        save(&folder.join("ca.crt"), &certificate.pem(), write_public)
    }

    /// Opens the CA of a folder.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn open(folder: &Path) -> Result<Self, PkiError> {
        let load = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| PkiError::File(path, error))
        };
        let key = KeyPair::from_pem(&zeroize::Zeroizing::new(load("ca.key")?))?;
        let issuer = Issuer::from_ca_cert_pem(&load("ca.crt")?, key)?;
        Ok(Self { issuer })
    }

    /// A client certificate: `<prefix>.crt` and `<prefix>.key`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn issue_client(
        &self,
        prefix: &Path,
        id: &SpiffeId,
        now: Timestamp,
        life: Duration,
    ) -> Result<(), PkiError> {
        let mut params = params(id.as_str(), now, life)?;
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(prefix, params)
    }

    /// A server certificate for host names and addresses.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn issue_server(
        &self,
        prefix: &Path,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<(), PkiError> {
        let mut params = params("Lethe", now, life)?;
        params.subject_alt_names = names
            .iter()
            .map(|name| host(name))
            .collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(prefix, params)
    }

    pub(super) const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    fn issue(&self, prefix: &Path, mut params: CertificateParams) -> Result<(), PkiError> {
        let key = KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        save(&beside(prefix, "key"), &key.serialize_pem(), write_private)?;
        save(&beside(prefix, "crt"), &certificate.pem(), write_public)
    }
}

fn host(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let valid = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    match name.try_into() {
        Ok(dns) if valid => Ok(SanType::DnsName(dns)),
        _ => Err(PkiError::Name(name.to_owned())),
    }
}

fn params(name: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    // Common names end at 64 characters (X.520).
    let common: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, common);
    // The certificate is valid from a little earlier, because clocks of clients differ.
    let earlier = now.as_millis().saturating_sub(300_000);
    params.not_before = instant(Timestamp::from_millis(earlier), Duration::ZERO)?;
    params.not_after = instant(now, life)?;
    Ok(params)
}

/// A date of X.509.
pub(super) fn instant(time: Timestamp, later: Duration) -> Result<OffsetDateTime, PkiError> {
    let since = Duration::from_millis(time.as_millis()).saturating_add(later);
    if since > LAST_DATE {
        return Err(PkiError::TooLong);
    }
    Ok(rcgen::date_time_ymd(1970, 1, 1) + since)
}

fn save(
    path: &Path,
    text: &str,
    write: impl Fn(&Path, &str) -> std::io::Result<()>,
) -> Result<(), PkiError> {
    write(path, text).map_err(|error| PkiError::File(path.to_owned(), error))
}
