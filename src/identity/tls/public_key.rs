//! One identifier for a key pair, however a certificate encodes its public key.

use aws_lc_rs::digest::{Context, SHA256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Named curves (RFC 5480) and the bytes of a coordinate.
const CURVES: [(&str, usize); 3] = [
    ("1.2.840.10045.3.1.7", 32),
    ("1.3.132.0.34", 48),
    ("1.3.132.0.35", 66),
];

/// SHA-256 of what all encodings of the public key have in common, also with other public keys of the
/// same private key: the x coordinate of a point, the modulus of an RSA key, the bytes of an Ed25519
/// key. None for a key of another kind, which cannot be identified.
pub(super) fn key_id(key: &SubjectPublicKeyInfo<'_>) -> Option<[u8; 32]> {
    let bytes = &*key.subject_public_key.data;
    match key.algorithm.algorithm.to_id_string().as_str() {
        // id-ecPublicKey
        "1.2.840.10045.2.1" => {
            let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
            let curve = curve.to_id_string();
            let (_, length) = CURVES.iter().find(|(it, _)| *it == curve)?;
            Some(digest(&[curve.as_bytes(), x_coordinate(bytes, *length)?]))
        }
        // rsaEncryption and id-RSASSA-PSS: one private key signs under both.
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => {
            let (rest, key) = RSAPublicKey::from_der(bytes).ok()?;
            let zeros = key.modulus.iter().take_while(|byte| **byte == 0).count();
            let modulus = &key.modulus[zeros..];
            (rest.is_empty() && !modulus.is_empty()).then(|| digest(&[b"rsa", modulus]))
        }
        // id-Ed25519
        "1.3.101.112" => (bytes.len() == 32).then(|| digest(&[b"ed25519", bytes])),
        _ => None,
    }
}

/// The x coordinate of a point in compressed, uncompressed or hybrid form (SEC 1, section 2.3.3;
/// X9.62).
fn x_coordinate(point: &[u8], length: usize) -> Option<&[u8]> {
    let (form, coordinates) = point.split_first()?;
    let expected = match form {
        2 | 3 => length,
        4 | 6 | 7 => 2 * length,
        _ => return None,
    };
    (coordinates.len() == expected).then(|| &coordinates[..length])
}

/// The name of the kind ends with a zero byte, which no name has.
fn digest(parts: &[&[u8]; 2]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(parts[0]);
    context.update(&[0]);
    context.update(parts[1]);
    context.finish().as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: [u8; 9] = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    const P384: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x22];
    const RSA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    const PSS: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    const ED25519: [u8; 5] = [6, 3, 0x2b, 0x65, 0x70];
    const NULL: [u8; 2] = [5, 0];

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    }

    fn id(algorithm: &[u8], parameters: &[u8], key: &[u8]) -> Option<[u8; 32]> {
        let algorithm = tagged(0x30, &[algorithm, parameters].concat());
        let bits = tagged(3, &[&[0], key].concat());
        let info = tagged(0x30, &[algorithm, bits].concat());
        let (rest, info) = SubjectPublicKeyInfo::from_der(&info).unwrap();
        assert!(rest.is_empty());
        key_id(&info)
    }

    #[test]
    fn a_point_is_one_key_in_every_form() {
        let (x, y) = ([7; 32], [9; 32]);
        let point = |form: u8, y: &[u8]| [&[form], &x[..], y].concat();
        let whole = id(&EC, &P256, &point(4, &y));
        assert!(whole.is_some());
        for other in [point(2, &[]), point(3, &[]), point(6, &y), point(7, &y)] {
            assert_eq!(id(&EC, &P256, &other), whole);
        }
        assert_ne!(id(&EC, &P256, &[&[2], &y[..]].concat()), whole);
        let longer = id(&EC, &P384, &[&[4], &[7; 96][..]].concat());
        assert!(longer.is_some() && longer != whole);
        for wrong in [point(4, &[]), point(5, &y), point(2, &y), vec![4], vec![]] {
            assert_eq!(id(&EC, &P256, &wrong), None, "{wrong:?}");
        }
        assert_eq!(id(&EC, &NULL, &point(4, &y)), None);
        assert_eq!(id(&EC, &[], &point(4, &y)), None);
    }

    #[test]
    fn an_rsa_key_is_its_modulus() {
        let key = |modulus: &[u8], exponent: u8| {
            let (modulus, exponent) = (tagged(2, modulus), tagged(2, &[exponent]));
            tagged(0x30, &[modulus, exponent].concat())
        };
        let first = id(&RSA, &NULL, &key(&[0, 0x91, 3], 3));
        assert!(first.is_some());
        for (algorithm, parameters, exponent) in [
            (&RSA, &[][..], 3),
            (&PSS, &[][..], 3),
            (&PSS, &[0x30, 0][..], 3),
            (&RSA, &NULL[..], 5),
        ] {
            let other = id(algorithm, parameters, &key(&[0, 0x91, 3], exponent));
            assert_eq!(other, first);
        }
        assert_ne!(id(&RSA, &NULL, &key(&[0, 0x91, 4], 3)), first);
        assert_eq!(id(&RSA, &NULL, &key(&[0], 3)), None);
        assert_eq!(id(&RSA, &NULL, &[1, 2, 3]), None);
    }

    #[test]
    fn what_cannot_be_told_from_others_has_no_name() {
        assert!(id(&ED25519, &[], &[5; 32]).is_some());
        assert_eq!(id(&ED25519, &NULL, &[5; 32]), id(&ED25519, &[], &[5; 32]));
        assert_eq!(id(&ED25519, &[], &[5; 31]), None);
        // id-Ed448
        assert_eq!(id(&[6, 3, 0x2b, 0x65, 0x71], &[], &[5; 57]), None);
    }
}
