//! AES keys and the claim: each function is one attempt, in one session.

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{HsmError, HsmKey, SealedSecret};
use lethe_core::secret::Secret32;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::config::IvSource;
use crate::errors::{self, Failure};
use crate::objects::{
    ensure_room, find_key, find_one, first_accepted, key_template, random_bytes, read,
};

const TAG_BITS: u64 = 128;

pub(crate) fn create_key(call: &Call<'_>, key: HsmKey) -> Result<(), Failure> {
    ensure_room(call, 1)?;
    let mut plain = key_template(ObjectClass::SECRET_KEY, key.id, &key.label.to_string());
    plain.extend([
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(32.into()),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
    ]);
    let mut strict = plain.clone();
    strict.push(Attribute::Copyable(false));
    first_accepted(&[strict, plain], |template| {
        Ok(call
            .session()?
            .generate_key(&Mechanism::AesKeyGen, template)?)
    })?;
    Ok(())
}

pub(crate) fn seal(
    call: &Call<'_>,
    key: HsmKey,
    aad: &[u8],
    secret: &Secret32,
) -> Result<SealedSecret, Failure> {
    let handle = find_key(call, key)?;
    let mut iv = [0; 12];
    if call.config().iv == IvSource::Caller {
        random_bytes(&mut iv)?;
    }
    let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
    let bytes = call
        .session()?
        .encrypt(&Mechanism::AesGcm(params), handle, secret.expose())?;
    if iv == [0; 12] {
        return Err(HsmError::Device("the device chose no IV".into()).into());
    }
    let ciphertext = bytes
        .try_into()
        .map_err(|_| HsmError::Device("ciphertext is not 48 bytes".into()))?;
    Ok(SealedSecret { iv, ciphertext })
}

pub(crate) fn open(
    call: &Call<'_>,
    key: HsmKey,
    aad: &[u8],
    sealed: &SealedSecret,
) -> Result<Secret32, Failure> {
    for _ in 0..2 {
        let handle = find_key(call, key)?;
        match decrypt(call, handle, aad, sealed) {
            Err(Failure::Module(error)) if errors::may_be_a_failed_tag(&error) => {
                ensure_alive(call, key)?
            }
            other => return other,
        }
    }
    Err(HsmError::DoesNotOpen.into())
}

/// Tells a failed tag from a dead device: both may be `CKR_GENERAL_ERROR`. The session's state
/// may come from the module's memory; the search goes to the device.
fn ensure_alive(call: &Call<'_>, key: HsmKey) -> Result<(), Failure> {
    call.session()?.get_session_info()?;
    find_key(call, key).map(|_| ())
}

fn decrypt(
    call: &Call<'_>,
    handle: ObjectHandle,
    aad: &[u8],
    sealed: &SealedSecret,
) -> Result<Secret32, Failure> {
    let mut iv = sealed.iv;
    let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
    let bytes = Zeroizing::new(call.session()?.decrypt(
        &Mechanism::AesGcm(params),
        handle,
        &sealed.ciphertext,
    )?);
    if bytes.len() != 32 {
        return Err(HsmError::Device("plaintext is not 32 bytes".into()).into());
    }
    Ok(Secret32::filled(|secret| secret.copy_from_slice(&bytes)))
}

/// `before_destroy` is told right before the only call that harms.
pub(crate) fn destroy(
    call: &Call<'_>,
    key: HsmKey,
    before_destroy: impl Fn(),
) -> Result<(), Failure> {
    let handle = find_key(call, key)?;
    let session = call.session()?;
    before_destroy();
    session.destroy_object(handle)?;
    ensure_gone(call, key)
}

pub(crate) fn ensure_gone(call: &Call<'_>, key: HsmKey) -> Result<(), Failure> {
    match find_key(call, key) {
        Err(Failure::Decided(HsmError::NotFound)) => Ok(()),
        Err(Failure::Decided(HsmError::Ambiguous)) | Ok(_) => {
            Err(HsmError::Device("destroy did not remove the key".into()).into())
        }
        Err(other) => Err(other),
    }
}

/// Whether a key that an earlier attempt may have made is there.
pub(crate) fn exists(call: &Call<'_>, template: &[Attribute]) -> Result<bool, Failure> {
    match find_one(call, template) {
        Ok(_) => Ok(true),
        Err(Failure::Decided(HsmError::NotFound)) => Ok(false),
        Err(other) => Err(other),
    }
}

fn claim_template(deployment: DeploymentId) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Class(ObjectClass::DATA),
        Attribute::Application(b"lethe".to_vec()),
        Attribute::Label(format!("lethe/v1/claim/{deployment}").into_bytes()),
    ]
}

pub(crate) fn claim(call: &Call<'_>, deployment: DeploymentId) -> Result<Option<String>, Failure> {
    let mut values = Vec::new();
    for object in call.session()?.find_objects(&claim_template(deployment))? {
        for attribute in read(call, object, &[AttributeType::Value])?.unwrap_or_default() {
            if let Attribute::Value(bytes) = attribute {
                let text = String::from_utf8(bytes)
                    .map_err(|_| HsmError::Device("the claim is not text".into()))?;
                values.push(text);
            }
        }
    }
    values.dedup();
    match values.len() {
        0 | 1 => Ok(values.pop()),
        _ => Err(HsmError::Ambiguous.into()),
    }
}

/// The new claim is made before the old ones go: never a moment without one.
pub(crate) fn set_claim(
    call: &Call<'_>,
    deployment: DeploymentId,
    store_instance: &str,
) -> Result<(), Failure> {
    let old = call.session()?.find_objects(&claim_template(deployment))?;
    if old.is_empty() {
        ensure_room(call, 1)?;
    }
    let mut template = claim_template(deployment);
    template.extend([
        Attribute::Private(true),
        Attribute::Value(store_instance.as_bytes().to_vec()),
    ]);
    call.session()?.create_object(&template)?;
    for object in old {
        call.session()?.destroy_object(object)?;
    }
    Ok(())
}
