//! What a key does, once its attributes allow it.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use super::object::Object;
use crate::constants::*;
use crate::wire::{GcmParams, Mechanism, Operation, Secret};

/// Checks mechanism, key type and `CKA_ENCRYPT` and its like.
///
/// # Errors
/// As the `*Init` calls.
pub fn check(key: &Object, mechanism: &Mechanism, operation: Operation) -> Result<(), u64> {
    use Operation::{Decrypt, Encrypt, Sign, Verify};
    let (class, kind, permission) = match (mechanism.kind, operation) {
        (CKM_AES_GCM, Encrypt) => (CKO_SECRET_KEY, CKK_AES, CKA_ENCRYPT),
        (CKM_AES_GCM, Decrypt) => (CKO_SECRET_KEY, CKK_AES, CKA_DECRYPT),
        (CKM_EDDSA, Sign) => (CKO_PRIVATE_KEY, CKK_EC_EDWARDS, CKA_SIGN),
        (CKM_EDDSA, Verify) => (CKO_PUBLIC_KEY, CKK_EC_EDWARDS, CKA_VERIFY),
        _ => return Err(CKR_MECHANISM_INVALID),
    };
    if mechanism.kind == CKM_AES_GCM {
        gcm(mechanism)?;
    } else if mechanism.gcm.is_some() {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    if key.number(CKA_KEY_TYPE) != Some(kind) || key.number(CKA_CLASS) != Some(class) {
        return Err(CKR_KEY_TYPE_INCONSISTENT);
    }
    if key.flag(permission) {
        Ok(())
    } else {
        Err(CKR_KEY_FUNCTION_NOT_PERMITTED)
    }
}

fn gcm(mechanism: &Mechanism) -> Result<(&GcmParams, Nonce), u64> {
    let params = mechanism.gcm.as_ref().ok_or(CKR_MECHANISM_PARAM_INVALID)?;
    let iv = <[u8; 12]>::try_from(params.iv.as_slice()).map_err(|_| CKR_MECHANISM_PARAM_INVALID)?;
    if params.tag_bits != 128 {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    Ok((params, Nonce::assume_unique_for_key(iv)))
}

fn aes_key(key: &Object) -> Result<LessSafeKey, u64> {
    let value = value(key)?;
    let algorithm = match value.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        32 => &AES_256_GCM,
        _ => return Err(CKR_KEY_SIZE_RANGE),
    };
    UnboundKey::new(algorithm, value)
        .map(LessSafeKey::new)
        .map_err(|_| CKR_GENERAL_ERROR)
}

fn value(key: &Object) -> Result<&[u8], u64> {
    key.raw(CKA_VALUE).ok_or(CKR_GENERAL_ERROR)
}

/// AES-GCM: ciphertext and tag.
///
/// # Errors
/// As `C_Encrypt`.
pub fn encrypt(key: &Object, mechanism: &Mechanism, data: &Secret) -> Result<Vec<u8>, u64> {
    check(key, mechanism, Operation::Encrypt)?;
    let (params, nonce) = gcm(mechanism)?;
    // Sized for the tag at once: a vector that moves leaves plaintext behind.
    let mut output = Vec::with_capacity(data.0.len() + 16);
    output.extend_from_slice(&data.0);
    aes_key(key)?
        .seal_in_place_append_tag(nonce, Aad::from(&params.aad), &mut output)
        .map_err(|_| CKR_GENERAL_ERROR)?;
    Ok(output)
}

/// AES-GCM: the plaintext.
///
/// # Errors
/// As `C_Decrypt`; `CKR_ENCRYPTED_DATA_INVALID` for a failed tag.
pub fn decrypt(key: &Object, mechanism: &Mechanism, mut data: Secret) -> Result<Secret, u64> {
    check(key, mechanism, Operation::Decrypt)?;
    let (params, nonce) = gcm(mechanism)?;
    if data.0.len() < 16 {
        return Err(CKR_ENCRYPTED_DATA_LEN_RANGE);
    }
    let length = aes_key(key)?
        .open_in_place(nonce, Aad::from(&params.aad), &mut data.0)
        .map_err(|_| CKR_ENCRYPTED_DATA_INVALID)?
        .len();
    data.0.truncate(length);
    Ok(data)
}

/// Ed25519: the signature.
///
/// # Errors
/// As `C_Sign`.
pub fn sign(key: &Object, mechanism: &Mechanism, data: &Secret) -> Result<Vec<u8>, u64> {
    check(key, mechanism, Operation::Sign)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(value(key)?).map_err(|_| CKR_GENERAL_ERROR)?;
    Ok(pair.sign(&data.0).as_ref().to_vec())
}

/// Ed25519: whether the signature is this key's.
///
/// # Errors
/// As `C_Verify`.
pub fn verify(
    key: &Object,
    mechanism: &Mechanism,
    data: &Secret,
    signature: &[u8],
) -> Result<(), u64> {
    check(key, mechanism, Operation::Verify)?;
    if signature.len() != 64 {
        return Err(CKR_SIGNATURE_LEN_RANGE);
    }
    let point = key
        .raw(CKA_EC_POINT)
        .and_then(|point| point.get(2..))
        .ok_or(CKR_GENERAL_ERROR)?;
    UnparsedPublicKey::new(&ED25519, point)
        .verify(&data.0, signature)
        .map_err(|_| CKR_SIGNATURE_INVALID)
}
