//! From a caller's template to an object's full attributes.

use super::object::{Object, number};
use crate::constants::*;
use crate::wire::Attribute;

const FLAGS: &[u64] = &[
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_TRUSTED,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_DERIVE,
    CKA_EXTRACTABLE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_WRAP_WITH_TRUSTED,
];
const NUMBERS: &[u64] = &[CKA_CLASS, CKA_KEY_TYPE, CKA_VALUE_LEN];
const BYTES: &[u64] = &[
    CKA_LABEL,
    CKA_APPLICATION,
    CKA_VALUE,
    CKA_OBJECT_ID,
    CKA_SUBJECT,
    CKA_ID,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
];
const TOKENS_OWN: &[u64] = &[
    CKA_LOCAL,
    CKA_ALWAYS_SENSITIVE,
    CKA_NEVER_EXTRACTABLE,
    CKA_KEY_GEN_MECHANISM,
    CKA_UNIQUE_ID,
];

/// Ed25519's object identifier, DER.
pub const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// Ed25519's name as a DER PrintableString, the older spelling.
pub const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A `CK_BBOOL`.
#[must_use]
pub fn flag(value: bool) -> Vec<u8> {
    vec![u8::from(value)]
}

/// A `CK_ULONG`.
#[must_use]
pub fn ulong(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// The object a template spells out, its values checked one by one.
///
/// # Errors
/// As PKCS#11 says for templates.
pub fn parse(template: &[Attribute]) -> Result<Object, u64> {
    let mut object = Object::default();
    for attribute in template {
        check_value(attribute)?;
        match object.raw(attribute.kind) {
            Some(value) if value != attribute.value => return Err(CKR_TEMPLATE_INCONSISTENT),
            _ => object.set(attribute.kind, attribute.value.clone()),
        }
    }
    Ok(object)
}

/// Checks that an attribute is known, the caller's to set, and well-formed.
///
/// # Errors
/// `CKR_ATTRIBUTE_READ_ONLY`, `CKR_ATTRIBUTE_VALUE_INVALID`, `CKR_ATTRIBUTE_TYPE_INVALID`.
pub fn check_value(attribute: &Attribute) -> Result<(), u64> {
    let (kind, value) = (attribute.kind, attribute.value.as_slice());
    let good = match kind {
        _ if TOKENS_OWN.contains(&kind) => return Err(CKR_ATTRIBUTE_READ_ONLY),
        _ if FLAGS.contains(&kind) => value == [0] || value == [1],
        _ if NUMBERS.contains(&kind) => number(value).is_some(),
        _ if BYTES.contains(&kind) => true,
        _ => return Err(CKR_ATTRIBUTE_TYPE_INVALID),
    };
    if good {
        Ok(())
    } else {
        Err(CKR_ATTRIBUTE_VALUE_INVALID)
    }
}

/// Sets an attribute the call implies; a template that says otherwise contradicts itself.
///
/// # Errors
/// `CKR_TEMPLATE_INCONSISTENT`.
pub fn imply(object: &mut Object, kind: u64, value: Vec<u8>) -> Result<(), u64> {
    match object.raw(kind) {
        Some(said) if said != value => Err(CKR_TEMPLATE_INCONSISTENT),
        _ => {
            object.set(kind, value);
            Ok(())
        }
    }
}

/// Refuses a template that sets what the call itself decides.
///
/// # Errors
/// `CKR_TEMPLATE_INCONSISTENT`.
pub fn forbid(object: &Object, kinds: &[u64]) -> Result<(), u64> {
    let said = kinds.iter().any(|kind| object.raw(*kind).is_some());
    if said {
        Err(CKR_TEMPLATE_INCONSISTENT)
    } else {
        Ok(())
    }
}

/// Fills what every object has.
pub fn common_defaults(object: &mut Object, private: bool) {
    object.fill(CKA_TOKEN, &[0]);
    object.fill(CKA_PRIVATE, &flag(private));
    object.fill(CKA_LABEL, b"");
    for kind in [CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE] {
        object.fill(kind, &[1]);
    }
}

/// Fills what every key has; `mechanism` generated it here, or it came from outside.
pub fn key_defaults(object: &mut Object, mechanism: Option<u64>, usable: &[u64]) {
    for kind in [CKA_ID, CKA_START_DATE, CKA_END_DATE] {
        object.fill(kind, b"");
    }
    usable.iter().for_each(|kind| object.fill(*kind, &[1]));
    object.fill(CKA_DERIVE, &[0]);
    object.set(CKA_LOCAL, flag(mechanism.is_some()));
    object.set(
        CKA_KEY_GEN_MECHANISM,
        ulong(mechanism.unwrap_or(CK_UNAVAILABLE_INFORMATION)),
    );
}

/// Fills what secret and private keys have, after [`key_defaults`].
pub fn secrecy_defaults(object: &mut Object) {
    object.fill(CKA_SENSITIVE, &[1]);
    object.fill(CKA_EXTRACTABLE, &[0]);
    object.fill(CKA_WRAP_WITH_TRUSTED, &[0]);
    // A key that came from outside was once in the clear.
    let local = object.flag(CKA_LOCAL);
    let always = local && object.flag(CKA_SENSITIVE);
    let never = local && !object.flag(CKA_EXTRACTABLE);
    object.set(CKA_ALWAYS_SENSITIVE, flag(always));
    object.set(CKA_NEVER_EXTRACTABLE, flag(never));
}

/// What `C_SetAttributeValue` may change: labels, ids and uses, and secrecy only upwards.
///
/// # Errors
/// `CKR_ATTRIBUTE_READ_ONLY`, and as [`check_value`].
pub fn check_change(object: &Object, change: &Attribute) -> Result<(), u64> {
    check_value(change)?;
    let to = change.value == [1];
    let allowed = object.flag(CKA_MODIFIABLE)
        && match change.kind {
            CKA_SENSITIVE => to || !object.flag(CKA_SENSITIVE),
            CKA_EXTRACTABLE => !to || object.flag(CKA_EXTRACTABLE),
            CKA_WRAP_WITH_TRUSTED => to || !object.flag(CKA_WRAP_WITH_TRUSTED),
            CKA_VALUE => object.number(CKA_CLASS) == Some(CKO_DATA),
            CKA_CLASS | CKA_KEY_TYPE | CKA_TOKEN | CKA_PRIVATE | CKA_MODIFIABLE | CKA_COPYABLE
            | CKA_DESTROYABLE | CKA_VALUE_LEN | CKA_EC_PARAMS | CKA_EC_POINT | CKA_TRUSTED => false,
            kind => object.raw(kind).is_some(),
        };
    if allowed {
        Ok(())
    } else {
        Err(CKR_ATTRIBUTE_READ_ONLY)
    }
}
