//! New objects: generated here or handed in.

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::object::Object;
use super::template::{
    ED25519_NAME, ED25519_OID, common_defaults, flag, forbid, imply, key_defaults, parse,
    secrecy_defaults, ulong,
};
use crate::constants::*;
use crate::wire::{Attribute, Mechanism};

const AES_USES: &[u64] = &[CKA_ENCRYPT, CKA_DECRYPT];

/// `CKM_AES_KEY_GEN`.
///
/// # Errors
/// As `C_GenerateKey`.
pub fn aes(mechanism: &Mechanism, template: &[Attribute]) -> Result<Object, u64> {
    check_mechanism(mechanism, CKM_AES_KEY_GEN)?;
    let mut key = parse(template)?;
    forbid(&key, &[CKA_VALUE])?;
    let length = key.number(CKA_VALUE_LEN).ok_or(CKR_TEMPLATE_INCOMPLETE)?;
    if ![16, 24, 32].contains(&length) {
        return Err(CKR_ATTRIBUTE_VALUE_INVALID);
    }
    let mut value = vec![0; length as usize];
    rand::fill(&mut value).map_err(|_| CKR_GENERAL_ERROR)?;
    key.set(CKA_VALUE, value);
    finish_aes(key, Some(CKM_AES_KEY_GEN))
}

fn finish_aes(mut key: Object, mechanism: Option<u64>) -> Result<Object, u64> {
    imply(&mut key, CKA_CLASS, ulong(CKO_SECRET_KEY))?;
    imply(&mut key, CKA_KEY_TYPE, ulong(CKK_AES))?;
    forbid(&key, &[CKA_EC_PARAMS, CKA_EC_POINT])?;
    common_defaults(&mut key, true);
    key_defaults(&mut key, mechanism, AES_USES);
    for kind in [CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP] {
        key.fill(kind, &[0]);
    }
    secrecy_defaults(&mut key);
    Ok(key)
}

/// `CKM_EC_EDWARDS_KEY_PAIR_GEN`: public key, private key.
///
/// # Errors
/// As `C_GenerateKeyPair`.
pub fn ed25519(
    mechanism: &Mechanism,
    public: &[Attribute],
    private: &[Attribute],
) -> Result<(Object, Object), u64> {
    check_mechanism(mechanism, CKM_EC_EDWARDS_KEY_PAIR_GEN)?;
    let (mut public, mut private) = (parse(public)?, parse(private)?);
    let curve = check_curve(&public)?;
    forbid(&public, &[CKA_EC_POINT, CKA_VALUE, CKA_VALUE_LEN])?;
    forbid(&private, &[CKA_EC_POINT, CKA_VALUE, CKA_VALUE_LEN])?;
    imply(&mut private, CKA_EC_PARAMS, curve)?;
    let mut seed = Zeroizing::new(vec![0; 32]);
    rand::fill(&mut seed).map_err(|_| CKR_GENERAL_ERROR)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| CKR_GENERAL_ERROR)?;
    public.set(CKA_EC_POINT, octet_string(pair.public_key().as_ref()));
    private.set(CKA_VALUE, std::mem::take(&mut *seed));
    let public = finish_public(public, Some(CKM_EC_EDWARDS_KEY_PAIR_GEN))?;
    Ok((public, finish_private(private)?))
}

fn finish_public(mut key: Object, mechanism: Option<u64>) -> Result<Object, u64> {
    imply(&mut key, CKA_CLASS, ulong(CKO_PUBLIC_KEY))?;
    imply(&mut key, CKA_KEY_TYPE, ulong(CKK_EC_EDWARDS))?;
    forbid(&key, &[CKA_SENSITIVE, CKA_EXTRACTABLE])?;
    common_defaults(&mut key, false);
    key_defaults(&mut key, mechanism, &[CKA_VERIFY]);
    for kind in [CKA_ENCRYPT, CKA_WRAP, CKA_VERIFY_RECOVER, CKA_TRUSTED] {
        key.fill(kind, &[0]);
    }
    key.fill(CKA_SUBJECT, b"");
    Ok(key)
}

fn finish_private(mut key: Object) -> Result<Object, u64> {
    imply(&mut key, CKA_CLASS, ulong(CKO_PRIVATE_KEY))?;
    imply(&mut key, CKA_KEY_TYPE, ulong(CKK_EC_EDWARDS))?;
    common_defaults(&mut key, true);
    key_defaults(&mut key, Some(CKM_EC_EDWARDS_KEY_PAIR_GEN), &[CKA_SIGN]);
    for kind in [
        CKA_DECRYPT,
        CKA_UNWRAP,
        CKA_SIGN_RECOVER,
        CKA_ALWAYS_AUTHENTICATE,
    ] {
        key.fill(kind, &[0]);
    }
    key.fill(CKA_SUBJECT, b"");
    secrecy_defaults(&mut key);
    Ok(key)
}

/// `C_CreateObject`: data, Ed25519 public keys, and AES keys from outside.
///
/// # Errors
/// As `C_CreateObject`.
pub fn import(template: &[Attribute]) -> Result<Object, u64> {
    let object = parse(template)?;
    match object.number(CKA_CLASS).ok_or(CKR_TEMPLATE_INCOMPLETE)? {
        CKO_DATA => import_data(object),
        CKO_PUBLIC_KEY => import_public(object),
        CKO_SECRET_KEY => import_aes(object),
        _ => Err(CKR_ATTRIBUTE_VALUE_INVALID),
    }
}

fn import_data(mut data: Object) -> Result<Object, u64> {
    forbid(
        &data,
        &[
            CKA_KEY_TYPE,
            CKA_SENSITIVE,
            CKA_EXTRACTABLE,
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_SIGN,
            CKA_VERIFY,
        ],
    )?;
    common_defaults(&mut data, false);
    for kind in [CKA_APPLICATION, CKA_OBJECT_ID, CKA_VALUE] {
        data.fill(kind, b"");
    }
    Ok(data)
}

fn import_public(key: Object) -> Result<Object, u64> {
    key.raw(CKA_KEY_TYPE).ok_or(CKR_TEMPLATE_INCOMPLETE)?;
    check_curve(&key)?;
    let point = key.raw(CKA_EC_POINT).ok_or(CKR_TEMPLATE_INCOMPLETE)?;
    if point.len() != 34 || !point.starts_with(&[0x04, 0x20]) {
        return Err(CKR_ATTRIBUTE_VALUE_INVALID);
    }
    finish_public(key, None)
}

fn import_aes(mut key: Object) -> Result<Object, u64> {
    key.raw(CKA_KEY_TYPE).ok_or(CKR_TEMPLATE_INCOMPLETE)?;
    let length = key.raw(CKA_VALUE).ok_or(CKR_TEMPLATE_INCOMPLETE)?.len();
    if ![16, 24, 32].contains(&length) {
        return Err(CKR_ATTRIBUTE_VALUE_INVALID);
    }
    imply(&mut key, CKA_VALUE_LEN, ulong(length as u64))?;
    finish_aes(key, None)
}

fn check_mechanism(mechanism: &Mechanism, kind: u64) -> Result<(), u64> {
    match mechanism {
        Mechanism { kind: given, .. } if *given != kind => Err(CKR_MECHANISM_INVALID),
        Mechanism { gcm: Some(_), .. } => Err(CKR_MECHANISM_PARAM_INVALID),
        _ => Ok(()),
    }
}

fn check_curve(key: &Object) -> Result<Vec<u8>, u64> {
    let curve = key.raw(CKA_EC_PARAMS).ok_or(CKR_TEMPLATE_INCOMPLETE)?;
    if curve == ED25519_OID || curve == ED25519_NAME {
        Ok(curve.to_vec())
    } else {
        Err(CKR_CURVE_NOT_SUPPORTED)
    }
}

fn octet_string(bytes: &[u8]) -> Vec<u8> {
    [&[0x04, bytes.len() as u8], bytes].concat()
}

/// Marks an object changed by `C_SetAttributeValue`: secrecy once lost stays lost in the record.
pub fn record_secrecy(object: &mut Object) {
    if object.raw(CKA_ALWAYS_SENSITIVE).is_some() {
        let always = object.flag(CKA_ALWAYS_SENSITIVE) && object.flag(CKA_SENSITIVE);
        let never = object.flag(CKA_NEVER_EXTRACTABLE) && !object.flag(CKA_EXTRACTABLE);
        object.set(CKA_ALWAYS_SENSITIVE, flag(always));
        object.set(CKA_NEVER_EXTRACTABLE, flag(never));
    }
}
