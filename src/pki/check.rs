use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lethe_core::time::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

use super::files::beside;
use crate::config::SpiffeId;

/// For whom a certificate is made, which it must say.
pub(super) enum Subject<'a> {
    /// A CA, which signs itself.
    Authority,
    /// A server with these host names and addresses.
    Server(&'a [String]),
    /// A client with this SPIFFE id.
    Client(&'a SpiffeId),
}

/// Whether `<prefix>.crt` and `<prefix>.key` are there, belong together, are signed by the CA
/// certificate `authority`, are made for `subject`, and stay valid for `margin` more. A process
/// killed half-way can leave any mixture of old and new files, so nothing is taken on trust.
pub(super) fn is_fresh(
    prefix: &Path,
    authority: &Path,
    subject: &Subject<'_>,
    now: Timestamp,
    margin: Duration,
) -> bool {
    let (Some(own), Some(signer)) = (pem(&beside(prefix, "crt")), pem(authority)) else {
        return false;
    };
    let (Ok(own), Ok(signer)) = (own.parse_x509(), signer.parse_x509()) else {
        return false;
    };
    is_valid_until(&own, now, margin)
        && own.verify_signature(Some(signer.public_key())).is_ok()
        && has_key(&own, &beside(prefix, "key"))
        && is_for(&own, subject)
}

fn pem(path: &Path) -> Option<Pem> {
    let bytes = std::fs::read(path).ok()?;
    Some(x509_parser::pem::parse_x509_pem(&bytes).ok()?.1)
}

fn is_valid_until(certificate: &X509Certificate<'_>, now: Timestamp, margin: Duration) -> bool {
    let margin = u64::try_from(margin.as_millis()).unwrap_or(u64::MAX);
    let valid_at = |time: Timestamp| {
        let seconds = i64::try_from(time.as_millis() / 1_000).ok();
        seconds
            .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok())
            .is_some_and(|time| certificate.validity().is_valid_at(time))
    };
    valid_at(now) && valid_at(now.saturating_add(margin))
}

fn has_key(certificate: &X509Certificate<'_>, path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path).map(zeroize::Zeroizing::new) else {
        return false;
    };
    KeyPair::from_pem(&text)
        .is_ok_and(|key| key.subject_public_key_info() == certificate.public_key().raw)
}

fn is_for(certificate: &X509Certificate<'_>, subject: &Subject<'_>) -> bool {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.map_or(&[][..], |found| &found.value.general_names);
    match subject {
        Subject::Authority => certificate.is_ca(),
        Subject::Client(id) => matches!(names, [GeneralName::URI(uri)] if *uri == id.as_str()),
        Subject::Server(hosts) => hosts
            .iter()
            .all(|host| names.iter().any(|name| is_host(name, host))),
    }
}

fn is_host(name: &GeneralName<'_>, host: &str) -> bool {
    match (name, host.parse()) {
        (GeneralName::IPAddress(bytes), Ok(IpAddr::V4(address))) => *bytes == address.octets(),
        (GeneralName::IPAddress(bytes), Ok(IpAddr::V6(address))) => *bytes == address.octets(),
        (GeneralName::DNSName(dns), Err(_)) => *dns == host,
        _ => false,
    }
}
