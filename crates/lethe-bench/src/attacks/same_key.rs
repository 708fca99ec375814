use std::time::Instant;

use async_trait::async_trait;
use rcgen::{
    CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SignatureAlgorithm,
};
use serde_json::Value;

use super::certificates::showing;
use super::deployment::{Deployment, OPERATOR, spiffe_id};
use super::one_operator::count;
use super::{APPROVALS, Attack, Gained, Settings};
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};
use crate::peers::{Method, ask};

/// An operator approves what he asked for, under a second name and with the same key, which his second
/// certificate spells in another way.
pub(super) struct SameKey;

const SECOND: &str = "second-operator";
const VICTIM: &str = "/v1/keyspaces/erased";

/// A public key, in any spelling.
struct Spelled(Vec<u8>);

impl PublicKeyData for Spelled {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// An uncompressed point of P-256, compressed (SEC 1 section 2.3.3).
fn compressed(point: &[u8]) -> Option<Vec<u8>> {
    let (4, coordinates) = (point.first()?, point.get(1..65)?) else {
        return None;
    };
    let mut compressed = vec![2 + (coordinates[63] & 1)];
    compressed.extend_from_slice(&coordinates[..32]);
    Some(compressed)
}

#[async_trait]
impl Attack for SameKey {
    fn name(&self) -> &'static str {
        "same-key"
    }

    fn what(&self) -> &'static str {
        "an operator asks for the erase of a keyspace and approves it under a second name, with a certificate that holds the same key as a compressed point"
    }

    fn settings(&self) -> Settings {
        APPROVALS
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.set_keyspace("erased", "72h", "1h").await?;
        target.grant(SECOND, OPERATOR, "*")?;
        target.until_granted(SECOND).await
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let operator = target.client(OPERATOR)?;
        let asked = ask(&operator, Method::Delete, VICTIM, "", &Value::Null).await?;
        let path = format!("/v1/approvals/{}", asked.text("id"));
        let mut gained = Gained::default();
        for spelling in [false, true] {
            let second = second(target, spelling)?;
            // A service may refuse the certificate: that is as good.
            let answer = ask(&second, Method::Post, &path, "", &Value::Null).await;
            gained.count_result(&answer, ["certificates taken", "certificates refused"]);
            let Ok(answer) = answer else { continue };
            count(&mut gained, &answer);
            if answer.status < 300 {
                gained.reached.push("a keyspace erased by one key".into());
                break;
            }
        }
        Ok(gained)
    }
}

/// The second name with the first one's key.
fn second(target: &Deployment, is_compressed: bool) -> Result<Endpoint, BenchError> {
    let pki = target.folder().join("pki");
    let read = |name: &str| {
        std::fs::read_to_string(pki.join(name)).map_err(BenchError::io(name.to_owned()))
    };
    let authority = KeyPair::from_pem(&read("ca.key")?).map_err(BenchError::tls)?;
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt")?, authority).map_err(BenchError::tls)?;
    let key = KeyPair::from_pem(&read("operator.key")?).map_err(BenchError::tls)?;
    let point = key.der_bytes().to_vec();
    let public = if is_compressed {
        compressed(&point).ok_or_else(|| BenchError::Tls("not a point of P-256".into()))?
    } else {
        point
    };
    let mut params = CertificateParams::default();
    let id = spiffe_id(SECOND).try_into().map_err(BenchError::tls)?;
    params.subject_alt_names = vec![SanType::URI(id)];
    let signed = params.signed_by(&Spelled(public), &issuer);
    let chain = vec![signed.map_err(BenchError::tls)?.der().clone()];
    showing(
        &target.client(OPERATOR)?,
        &Identity::in_folder(&pki, OPERATOR),
        chain,
    )
}

#[cfg(test)]
mod tests {
    use super::compressed;

    #[test]
    fn a_point_is_compressed_by_its_parity() {
        let mut point = vec![7; 65];
        point[0] = 4;
        assert_eq!(compressed(&point).unwrap()[..2], [3, 7]);
        point[64] = 8;
        assert_eq!(compressed(&point).unwrap().len(), 33);
        assert_eq!(compressed(&point).unwrap()[0], 2);
        assert_eq!(compressed(&[2; 33]), None);
    }
}
