//! Ed25519 pairs.

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{HsmError, SigningPurpose, VerificationKey};

use crate::call::Call;
use crate::errors::Failure;
use crate::objects::{
    NEVER_OUTSIDE, NO_COPIES, find_one, first_accepted, keep_if_right, key_template, list, read,
};
use crate::operations::find_any;

/// `PrintableString "edwards25519"`, which SoftHSM2 and PKCS#11 3.0 know.
const CURVE_NAME: &[u8] = b"\x13\x0cedwards25519";
/// OID 1.3.101.112, of RFC 8410.
const CURVE_OID: &[u8] = b"\x06\x03\x2b\x65\x70";
const PURPOSES: [SigningPurpose; 2] = [SigningPurpose::Receipt, SigningPurpose::Checkpoint];
/// The private half is destroyed first.
const HALVES: [ObjectClass; 2] = [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY];
const LABEL_PREFIX: &str = "lethe/v1/sign/";

pub(crate) fn label(deployment: DeploymentId, purpose: SigningPurpose) -> String {
    let purpose = match purpose {
        SigningPurpose::Receipt => "receipt",
        SigningPurpose::Checkpoint => "checkpoint",
    };
    format!("{LABEL_PREFIX}{purpose}/{deployment}")
}

/// Attributes that both halves must have.
const DEMANDED_OF_PUBLIC: [Attribute; 2] = [
    Attribute::KeyType(KeyType::EC_EDWARDS),
    Attribute::Modifiable(false),
];
const DEMANDED_OF_PRIVATE: [Attribute; 6] = [
    Attribute::KeyType(KeyType::EC_EDWARDS),
    Attribute::Private(true),
    Attribute::Sensitive(true),
    Attribute::Extractable(false),
    Attribute::Modifiable(false),
    Attribute::Sign(true),
];

/// Makes a pair; one that an earlier attempt made counts.
pub(crate) fn create(
    call: &Call<'_>,
    id: HsmKeyId,
    label: &str,
    tried: bool,
) -> Result<(), Failure> {
    let of_private = [&DEMANDED_OF_PRIVATE[..], &NEVER_OUTSIDE].concat();
    let mut private = key_template(ObjectClass::PRIVATE_KEY, id, label);
    let mut public = key_template(ObjectClass::PUBLIC_KEY, id, label);
    let earlier = match tried {
        true => find_any(call, &private)?,
        false => None,
    };
    let pair = if let Some(made) = earlier {
        (find_one(call, &public)?, made)
    } else {
        private.extend(DEMANDED_OF_PRIVATE);
        public.extend(DEMANDED_OF_PUBLIC);
        public.extend([Attribute::Private(false), Attribute::Verify(true)]);
        generate(call, &public, &private)?
    };
    let made = [(pair.1, &of_private[..]), (pair.0, &DEMANDED_OF_PUBLIC[..])];
    keep_if_right(call, &made)
}

/// With the curve in either spelling, and not to be copied where the device knows that.
fn generate(
    call: &Call<'_>,
    public: &[Attribute],
    private: &[Attribute],
) -> Result<(ObjectHandle, ObjectHandle), Failure> {
    let with = |template: &[Attribute], more: &[Attribute]| [template, more].concat();
    let mut templates = Vec::new();
    for uncopyable in [&[NO_COPIES][..], &[]] {
        for curve in [CURVE_NAME, CURVE_OID] {
            let public = with(public, &[Attribute::EcParams(curve.to_vec())]);
            templates.push((with(&public, uncopyable), with(private, uncopyable)));
        }
    }
    let make = |(public, private): &(Vec<Attribute>, Vec<Attribute>)| {
        let mechanism = Mechanism::EccEdwardsKeyPairGen;
        Ok(call
            .session()?
            .generate_key_pair(&mechanism, public, private)?)
    };
    call.device
        .room
        .take(call, 2, || first_accepted(&templates, make))
}

/// The public key of the pair of this id and label.
pub(crate) fn public_key(call: &Call<'_>, id: HsmKeyId, label: &str) -> Result<[u8; 32], Failure> {
    let handle = find_one(call, &key_template(ObjectClass::PUBLIC_KEY, id, label))?;
    read_point(call, handle)?.ok_or_else(|| HsmError::NotFound.into())
}

fn read_point(call: &Call<'_>, handle: ObjectHandle) -> Result<Option<[u8; 32]>, Failure> {
    let attributes = read(call, handle, &[AttributeType::EcPoint])?;
    for attribute in attributes.unwrap_or_default() {
        if let Attribute::EcPoint(der) = attribute {
            // DER OCTET STRING; some devices give the bare 32 bytes.
            let point = der.strip_prefix(&[0x04, 0x20]).unwrap_or(&der);
            let point = point
                .try_into()
                .map_err(|_| HsmError::Device("not an Ed25519 point".into()))?;
            return Ok(Some(point));
        }
    }
    Ok(None)
}

pub(crate) fn verification_keys(
    call: &Call<'_>,
    deployment: DeploymentId,
) -> Result<Vec<VerificationKey>, Failure> {
    let mut keys = Vec::new();
    for (handle, id, text) in list(call, ObjectClass::PUBLIC_KEY)? {
        let purpose = PURPOSES
            .into_iter()
            .find(|purpose| label(deployment, *purpose) == text);
        if let Some(purpose) = purpose
            && let Some(public_key) = read_point(call, handle)?
        {
            keys.push(VerificationKey {
                id,
                purpose,
                public_key,
            });
        }
    }
    Ok(keys)
}

/// Of pairs of which only one half is left, too.
pub(crate) fn pairs(
    call: &Call<'_>,
    deployment: DeploymentId,
) -> Result<Vec<(HsmKeyId, SigningPurpose)>, Failure> {
    let mut pairs = Vec::new();
    for class in HALVES {
        for (_, id, text) in list(call, class)? {
            let purpose = PURPOSES
                .into_iter()
                .find(|purpose| label(deployment, *purpose) == text);
            pairs.extend(purpose.map(|purpose| (id, purpose)));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// By handles found by class, id and label in this session.
pub(crate) fn destroy(call: &Call<'_>, id: HsmKeyId, label: &str) -> Result<(), Failure> {
    for class in HALVES {
        let template = key_template(class, id, label);
        if let Some(handle) = find_any(call, &template)? {
            call.session()?.destroy_object(handle)?;
            if find_any(call, &template)?.is_some() {
                return Err(HsmError::Device("destroy did not remove the key".into()).into());
            }
            call.device.room.freed(1);
        }
    }
    Ok(())
}

pub(crate) fn sign(call: &Call<'_>, id: HsmKeyId, message: &[u8]) -> Result<[u8; 64], Failure> {
    let template = [
        Attribute::Token(true),
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::EC_EDWARDS),
        Attribute::Id(id.as_bytes().to_vec()),
    ];
    let handle = find_one(call, &template)?;
    let attributes = read(call, handle, &[AttributeType::Label])?.unwrap_or_default();
    let ours = attributes
        .iter()
        .any(|attribute| matches!(attribute, Attribute::Label(label) if label.starts_with(LABEL_PREFIX.as_bytes())));
    if !ours {
        return Err(HsmError::NotFound.into());
    }
    let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
    let signature = call.session()?.sign(&mechanism, handle, message)?;
    signature
        .try_into()
        .map_err(|_| HsmError::Device("the signature is not 64 bytes".into()).into())
}
