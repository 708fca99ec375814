//! AES keys: each function is one attempt, in one session.

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use lethe_core::ports::{HsmError, HsmKey, SealedSecret};
use lethe_core::secret::Secret32;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::config::IvSource;
use crate::errors::{self, Failure, Meaning};
use crate::objects::{
    NEVER_OUTSIDE, NO_COPIES, find_key, find_one, first_accepted, keep_if_right, key_template,
    random_bytes,
};

const TAG_BITS: u64 = 128;

/// Attributes that every key must have, whatever the device does with its template.
const DEMANDED: [Attribute; 9] = [
    Attribute::KeyType(KeyType::AES),
    Attribute::Private(true),
    Attribute::Sensitive(true),
    Attribute::Extractable(false),
    Attribute::Modifiable(false),
    Attribute::Encrypt(true),
    Attribute::Decrypt(true),
    Attribute::Wrap(false),
    Attribute::Unwrap(false),
];

/// Makes a key; one that an earlier attempt made counts.
pub(crate) fn create_key(call: &Call<'_>, key: HsmKey, tried: bool) -> Result<(), Failure> {
    let mut plain = key_template(ObjectClass::SECRET_KEY, key.id, &key.label.to_string());
    let demanded = [&DEMANDED[..], &NEVER_OUTSIDE].concat();
    if tried && let Some(handle) = find_any(call, &plain)? {
        return keep_if_right(call, &[(handle, &demanded)]);
    }
    plain.extend(DEMANDED);
    plain.push(Attribute::ValueLen(32.into()));
    let mut strict = plain.clone();
    strict.push(NO_COPIES);
    let make = |template: &Vec<Attribute>| {
        Ok(call
            .session()?
            .generate_key(&Mechanism::AesKeyGen, template)?)
    };
    let handle = call
        .device
        .room
        .take(call, 1, || first_accepted(&[strict, plain], make))?;
    keep_if_right(call, &[(handle, &demanded)])?;
    call.handles.made(key, handle);
    Ok(())
}

pub(crate) fn seal(
    call: &Call<'_>,
    key: HsmKey,
    aad: &[u8],
    secret: &Secret32,
) -> Result<SealedSecret, Failure> {
    let handle = match call.handles.to_seal(key) {
        Some(handle) => handle,
        None => find_key(call, key)?,
    };
    let mut iv = [0; 12];
    if call.config().iv == IvSource::Caller {
        random_bytes(&mut iv)?;
    }
    let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
    let bytes = call
        .session()?
        .encrypt(&Mechanism::AesGcm(params), handle, secret.expose())?;
    call.handles.used(key, handle);
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
    if let Some(handle) = call.handles.to_open(key) {
        match decrypt(call, handle, aad, sealed) {
            // The handle may mean no key any more, or another one: search for it.
            Err(Failure::Module(error)) if errors::meaning(&error) != Meaning::Lost => {
                call.handles.clear();
            }
            other => return other,
        }
    }
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

/// Distinguishes a wrong tag from a dead device: both may be `CKR_GENERAL_ERROR`. The state of the
/// session may come from the module's memory, but a search goes to the device.
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

/// `before_destroy` is called right before the only call that destroys something.
pub(crate) fn destroy(
    call: &Call<'_>,
    key: HsmKey,
    before_destroy: impl Fn(),
) -> Result<(), Failure> {
    let handle = find_key(call, key)?;
    let session = call.session()?;
    before_destroy();
    session.destroy_object(handle)?;
    ensure_gone(call, key)?;
    call.device.room.freed(1);
    Ok(())
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

pub(crate) fn holds(call: &Call<'_>, key: HsmKey) -> Result<bool, Failure> {
    match find_key(call, key) {
        Ok(_) => Ok(true),
        Err(Failure::Decided(HsmError::NotFound)) => Ok(false),
        Err(other) => Err(other),
    }
}

/// An object that an earlier attempt may have made.
pub(crate) fn find_any(
    call: &Call<'_>,
    template: &[Attribute],
) -> Result<Option<ObjectHandle>, Failure> {
    match find_one(call, template) {
        Ok(object) => Ok(Some(object)),
        Err(Failure::Decided(HsmError::NotFound)) => Ok(None),
        Err(other) => Err(other),
    }
}
