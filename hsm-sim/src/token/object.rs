//! An object is its attributes, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::constants::{
    CKA_CLASS, CKA_EXTRACTABLE, CKA_PRIVATE, CKA_SENSITIVE, CKA_TOKEN, CKA_VALUE, CKO_PRIVATE_KEY,
    CKO_SECRET_KEY, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID,
};
use crate::wire::Attribute;

/// Attributes by `CKA_*`; wiped when dropped.
#[derive(Default, Serialize, Deserialize)]
pub struct Object(BTreeMap<u64, Vec<u8>>);

impl Drop for Object {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl Object {
    /// The raw value, sensitive or not.
    #[must_use]
    pub fn raw(&self, kind: u64) -> Option<&[u8]> {
        self.0.get(&kind).map(Vec::as_slice)
    }

    /// The value as a `CK_BBOOL`; absent is false.
    #[must_use]
    pub fn flag(&self, kind: u64) -> bool {
        self.raw(kind).is_some_and(|value| value == [1])
    }

    /// The value as a `CK_ULONG`.
    #[must_use]
    pub fn number(&self, kind: u64) -> Option<u64> {
        self.raw(kind).and_then(number)
    }

    /// Sets an attribute; a former value is wiped.
    pub fn set(&mut self, kind: u64, value: Vec<u8>) {
        if let Some(mut old) = self.0.insert(kind, value) {
            old.zeroize();
        }
    }

    /// Sets an attribute that the template left out.
    pub fn fill(&mut self, kind: u64, value: &[u8]) {
        self.0.entry(kind).or_insert_with(|| value.to_vec());
    }

    /// All attributes.
    pub fn attributes(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(kind, value)| (*kind, value.as_slice()))
    }

    /// Bytes it takes at most when written.
    pub(crate) fn size(&self) -> usize {
        self.0.values().map(|value| value.len() + 20).sum()
    }

    /// Whether the object outlives its session.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.flag(CKA_TOKEN)
    }

    /// Whether only the logged-in user sees the object.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.flag(CKA_PRIVATE)
    }

    /// What `C_GetAttributeValue` answers for one attribute.
    ///
    /// # Errors
    /// `CKR_ATTRIBUTE_SENSITIVE`, `CKR_ATTRIBUTE_TYPE_INVALID`.
    pub fn reveal(&self, kind: u64) -> Result<Vec<u8>, u64> {
        if kind == CKA_VALUE && self.hides_value() {
            return Err(CKR_ATTRIBUTE_SENSITIVE);
        }
        self.raw(kind)
            .map(<[u8]>::to_vec)
            .ok_or(CKR_ATTRIBUTE_TYPE_INVALID)
    }

    fn hides_value(&self) -> bool {
        let class = self.number(CKA_CLASS);
        let secret = class == Some(CKO_SECRET_KEY) || class == Some(CKO_PRIVATE_KEY);
        secret && (self.flag(CKA_SENSITIVE) || !self.flag(CKA_EXTRACTABLE))
    }

    /// Whether every attribute of `template` is here with the same value. A hidden value
    /// matches nothing: searching must not guess keys.
    #[must_use]
    pub fn matches(&self, template: &[Attribute]) -> bool {
        template.iter().all(|wanted| {
            let hidden = wanted.kind == CKA_VALUE && self.hides_value();
            !hidden && self.raw(wanted.kind) == Some(wanted.value.as_slice())
        })
    }
}

/// Reads a `CK_ULONG`.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_le_bytes)
}
