use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lethe_core::time::Timestamp;
use lethe_tls::pem;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::authority::{Authority, PkiError, instant};
use super::files::write_public;

/// Writes the revocation list of the CA in `folder`, `ca.crl`: what it listed before, and
/// `certificates`. Without certificates the list is issued again, for another `life`.
///
/// # Errors
/// [`PkiError`]; the list is as it was.
pub fn revoke(
    folder: &Path,
    certificates: &[PathBuf],
    now: Timestamp,
    life: Duration,
) -> Result<PathBuf, PkiError> {
    let authority = Authority::open(folder)?;
    let signer = certificate(&folder.join("ca.crt"))?;
    let signer = parse(&signer, &folder.join("ca.crt"))?;
    let path = folder.join("ca.crl");
    let (number, mut revoked_certs) = before(&path, &signer)?;
    for path in certificates {
        let der = certificate(path)?;
        let parsed = parse(&der, path)?;
        if parsed.verify_signature(Some(signer.public_key())).is_err() {
            return Err(PkiError::NotIssued(path.clone()));
        }
        let serial_number = SerialNumber::from_slice(parsed.raw_serial());
        if !revoked_certs
            .iter()
            .any(|it| it.serial_number == serial_number)
        {
            revoked_certs.push(RevokedCertParams {
                serial_number,
                revocation_time: instant(now, Duration::ZERO)?,
                reason_code: None,
                invalidity_date: None,
            });
        }
    }
    let list = CertificateRevocationListParams {
        this_update: instant(now, Duration::ZERO)?,
        next_update: instant(now, life)?,
        crl_number: SerialNumber::from(number + 1),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let text = list.signed_by(authority.issuer())?.pem()?;
    write_public(&path, &text).map_err(|error| PkiError::File(path.clone(), error))?;
    Ok(path)
}

/// Number and content of the list that is there.
fn before(
    path: &Path,
    signer: &X509Certificate<'_>,
) -> Result<(u64, Vec<RevokedCertParams>), PkiError> {
    let bytes = match read(path) {
        Err(PkiError::File(_, error)) if error.kind() == ErrorKind::NotFound => {
            return Ok((0, Vec::new()));
        }
        bytes => bytes?,
    };
    let lists = pem::revocation_lists(&bytes).map_err(|reason| invalid(path, reason))?;
    let list = one(lists, path)?;
    let parsed = CertificateRevocationList::from_der(&list);
    let (_, parsed) = parsed.map_err(|_| unreadable(path))?;
    // Checks the signature of the old list: its content will be signed again.
    if parsed.verify_signature(signer.public_key()).is_err() {
        return Err(PkiError::NotIssued(path.to_owned()));
    }
    // The new number must be larger than the one before: readers refuse a smaller one.
    let number = parsed.crl_number().and_then(|it| u64::try_from(it).ok());
    let number = number.filter(|number| *number < u64::MAX);
    let number = number.ok_or_else(|| unreadable(path))?;
    let revoked = parsed.iter_revoked_certificates().map(|revoked| {
        let seconds = u64::try_from(revoked.revocation_date.timestamp()).unwrap_or(0);
        let time = Timestamp::from_millis(seconds.saturating_mul(1_000));
        Ok(RevokedCertParams {
            serial_number: SerialNumber::from_slice(revoked.raw_serial()),
            revocation_time: instant(time, Duration::ZERO)?,
            reason_code: None,
            invalidity_date: None,
        })
    });
    let revoked = revoked.collect::<Result<_, PkiError>>()?;
    Ok((number, revoked))
}

/// The only certificate of a file. Several are refused, because the others would be ignored.
fn certificate(path: &Path) -> Result<CertificateDer<'static>, PkiError> {
    let found = pem::certificates(&read(path)?).map_err(|reason| invalid(path, reason))?;
    one(found, path)
}

fn one<T>(mut found: Vec<T>, path: &Path) -> Result<T, PkiError> {
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (_, others) => Err(invalid(
            path,
            format!("holds {}, one is expected", others + 1),
        )),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PkiError> {
    std::fs::read(path).map_err(|error| PkiError::File(path.to_owned(), error))
}

fn parse<'a>(der: &'a [u8], path: &Path) -> Result<X509Certificate<'a>, PkiError> {
    let parsed = X509Certificate::from_der(der);
    Ok(parsed.map_err(|_| unreadable(path))?.1)
}

fn unreadable(path: &Path) -> PkiError {
    invalid(path, "cannot be read")
}

fn invalid(path: &Path, reason: impl Into<Box<dyn Error + Send + Sync>>) -> PkiError {
    let error = std::io::Error::new(ErrorKind::InvalidData, reason);
    PkiError::File(path.to_owned(), error)
}
