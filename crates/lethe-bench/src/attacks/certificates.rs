//! Certificates that nobody signed, as small as they parse, and clients that show any chain.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
/// ECDSA with SHA-256.
const ALGORITHM: &[u8] = &[SEQUENCE, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];
const SERIAL: &[u8] = &[2, 1, 1];
const NO_SIGNATURE: &[u8] = &[3, 2, 0, 0];
/// Basic constraints: it is an authority.
const AUTHORITY: &[u8] = &[
    0xa3, 0x13, SEQUENCE, 0x11, SEQUENCE, 0x0f, 0x06, 3, 0x55, 0x1d, 0x13, 1, 1, 0xff, 4, 5,
    SEQUENCE, 3, 1, 1, 0xff,
];

/// A certificate in the making.
#[derive(Debug, Clone)]
pub(super) struct Unsigned {
    /// Whom it names: a whole distinguished name.
    pub(super) subject: Vec<u8>,
    /// Who should have signed it.
    pub(super) issuer: Vec<u8>,
    /// Takes the place of a key: namesakes differ by it.
    pub(super) key: u16,
    pub(super) authority: bool,
}

impl Unsigned {
    pub(super) fn encode(&self) -> CertificateDer<'static> {
        let validity = element(
            SEQUENCE,
            &[&time(b"200101000000Z"), &time(b"491231000000Z")],
        );
        let key = [0, (self.key >> 8) as u8, self.key as u8];
        let key = element(SEQUENCE, &[&element(SEQUENCE, &[]), &element(3, &[&key])]);
        let extensions = if self.authority { AUTHORITY } else { &[] };
        let content = element(
            SEQUENCE,
            &[
                VERSION_3,
                SERIAL,
                ALGORITHM,
                &self.issuer,
                &validity,
                &self.subject,
                &key,
                extensions,
            ],
        );
        element(SEQUENCE, &[&content, ALGORITHM, NO_SIGNATURE]).into()
    }
}

/// A distinguished name of one common name.
pub(super) fn name(common: &str) -> Vec<u8> {
    let text = element(0x0c, &[common.as_bytes()]);
    let attribute = element(SEQUENCE, &[COMMON_NAME, &text]);
    element(SEQUENCE, &[&element(SET, &[&attribute])])
}

/// The name of the authority that the service trusts.
pub(super) fn authority(client: &Identity) -> Result<Vec<u8>, BenchError> {
    let roots = client.roots()?.roots;
    let first = roots.first().map(|root| root.subject.to_vec());
    let first = first.ok_or_else(|| BenchError::Tls("no authority".into()))?;
    Ok(element(SEQUENCE, &[&first]))
}

fn time(text: &[u8]) -> Vec<u8> {
    element(0x17, &[text])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut element = vec![tag];
    match length {
        0..128 => element.push(length as u8),
        128..256 => element.extend([0x81, length as u8]),
        _ => element.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts
        .iter()
        .for_each(|part| element.extend_from_slice(part));
    element
}

/// Shows its chain to whoever asks.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// `endpoint` with another chain, and the key of `client`: nobody looks whether they fit.
pub(super) fn showing(
    endpoint: &Endpoint,
    client: &Identity,
    chain: Vec<CertificateDer<'static>>,
) -> Result<Endpoint, BenchError> {
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&client.private_key()?)
        .map_err(BenchError::tls)?;
    let shown = Shown(Arc::new(CertifiedKey::new(chain, key)));
    let mut tls = ClientConfig::clone(&endpoint.tls);
    tls.client_auth_cert_resolver = Arc::new(shown);
    Ok(Endpoint {
        tls: Arc::new(tls),
        ..endpoint.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the service would refuse it before it builds a path.
    #[test]
    fn a_certificate_parses_and_is_small() {
        let certificate = Unsigned {
            subject: name("a"),
            issuer: name("b"),
            key: 7,
            authority: true,
        };
        let encoded = certificate.encode();
        assert!(encoded.len() < 160, "{}", encoded.len());
        let parsed = rustls::server::ParsedCertificate::try_from(&encoded);
        assert!(parsed.is_ok(), "{:?}", parsed.err());
    }
}
