//! The PKCS#11 module of the HSM simulator. It holds no key and computes nothing: every call goes
//! to the daemon. Here is only the C surface; what the calls do is in the other files.
#![allow(non_snake_case)]

mod attributes;
mod cipher;
mod client;
mod connection;
mod endpoint;
mod general;
mod object;
mod random;
mod raw;
mod session;
mod sign;
mod slot;
mod state;
#[cfg(test)]
mod tests;
mod transport;
mod unsupported;

use std::ffi::c_void;

use cryptoki_sys::*;
use hsm_sim::wire::{Operation, Secret};

type Handle = CK_ULONG;
type Length = *mut CK_ULONG;
type Bytes = *mut u8;

/// No panic may cross into C.
fn guard(call: impl FnOnce() -> Result<(), CK_RV>) -> CK_RV {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(error)) => error,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// Defines exported functions with the body given.
macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) $body:block)*) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        ///
        /// # Safety
        /// Pointers must be null or point to what PKCS#11 demands.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> CK_RV {
            #[allow(unused_unsafe)]
            // SAFETY: each pointer is checked for null and otherwise as PKCS#11 demands, which
            // is the condition of this function and of all helpers in `raw`.
            crate::guard(|| unsafe { $body })
        }
    )* };
}
pub(crate) use functions;

functions! {
    fn C_Initialize(arguments: *mut c_void) { general::initialise(raw::reserved(arguments)?) }
    fn C_Finalize(reserved: *mut c_void) {
        if reserved.is_null() { state::finalise() } else { Err(CKR_ARGUMENTS_BAD) }
    }
    fn C_GetInfo(info: *mut CK_INFO) {
        let place = raw::place(info)?;
        place.write(general::info()?);
        Ok(())
    }
    fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) {
        raw::place(list)?.write((&raw const unsupported::FUNCTIONS).cast_mut());
        Ok(())
    }

    fn C_GetSlotList(present: CK_BBOOL, slots: *mut CK_ULONG, count: Length) {
        raw::place(count)?;
        raw::list(&slot::list(present != CK_FALSE)?, slots, count)
    }
    fn C_GetSlotInfo(slot: CK_ULONG, info: *mut CK_SLOT_INFO) {
        let place = raw::place(info)?;
        place.write(slot::info(slot)?);
        Ok(())
    }
    fn C_GetTokenInfo(slot: CK_ULONG, info: *mut CK_TOKEN_INFO) {
        let place = raw::place(info)?;
        place.write(slot::token(slot)?);
        Ok(())
    }
    fn C_GetMechanismList(slot: CK_ULONG, kinds: *mut CK_ULONG, count: Length) {
        raw::list(&slot::mechanisms(slot)?, kinds, count)
    }
    fn C_GetMechanismInfo(slot: CK_ULONG, kind: CK_ULONG, info: *mut CK_MECHANISM_INFO) {
        let place = raw::place(info)?;
        place.write(slot::mechanism(slot, kind)?);
        Ok(())
    }
    fn C_InitToken(slot: CK_ULONG, pin: Bytes, length: CK_ULONG, label: Bytes) {
        slot::init_token(slot, secret(pin, length)?, raw::slice(label, 32)?)
    }
    fn C_InitPIN(session: Handle, pin: Bytes, length: CK_ULONG) {
        session::init_pin(session, secret(pin, length)?)
    }
    fn C_SetPIN(session: Handle, old: Bytes, old_length: CK_ULONG, new: Bytes, length: CK_ULONG) {
        session::set_pin(session, secret(old, old_length)?, secret(new, length)?)
    }

    fn C_OpenSession(slot: CK_ULONG, flags: CK_FLAGS, _application: *mut c_void, _notify: CK_NOTIFY, session: *mut Handle) {
        let place = raw::place(session)?;
        place.write(session::open(slot, flags)?);
        Ok(())
    }
    fn C_CloseSession(session: Handle) { session::close(session) }
    fn C_CloseAllSessions(slot: CK_ULONG) { session::close_all(slot) }
    fn C_GetSessionInfo(session: Handle, info: *mut CK_SESSION_INFO) {
        let place = raw::place(info)?;
        place.write(session::info(session)?);
        Ok(())
    }
    fn C_Login(session: Handle, user: CK_ULONG, pin: Bytes, length: CK_ULONG) {
        session::log_in(session, user, secret(pin, length)?)
    }
    fn C_Logout(session: Handle) { session::log_out(session) }

    fn C_CreateObject(session: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG, object: *mut Handle) {
        let place = raw::place(object)?;
        place.write(object::create(session, raw::template(template, count)?)?);
        Ok(())
    }
    fn C_DestroyObject(session: Handle, object: Handle) { object::destroy(session, object) }
    fn C_GetAttributeValue(session: Handle, object: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG) {
        let asked = raw::slice(template.cast_const(), count)?;
        let kinds = asked.iter().map(|entry| entry.type_).collect();
        let room = |entry: &CK_ATTRIBUTE| (!entry.pValue.is_null()).then_some(entry.ulValueLen as usize);
        let rooms: Vec<_> = asked.iter().map(room).collect();
        let (entries, result) = attributes::get(session, object, kinds, &rooms)?;
        raw::fill(template, &entries);
        if result == CKR_OK { Ok(()) } else { Err(result) }
    }
    fn C_SetAttributeValue(session: Handle, object: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG) {
        attributes::set(session, object, raw::template(template, count)?)
    }
    fn C_FindObjectsInit(session: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG) {
        object::find_init(session, raw::template(template, count)?)
    }
    fn C_FindObjects(session: Handle, objects: *mut Handle, most: CK_ULONG, count: Length) {
        let place = raw::place(count)?;
        let objects = raw::place(objects)?;
        let found = object::find(session, most as usize)?;
        std::ptr::copy_nonoverlapping(found.as_ptr(), objects.as_ptr(), found.len());
        place.write(found.len() as CK_ULONG);
        Ok(())
    }
    fn C_FindObjectsFinal(session: Handle) { object::find_final(session) }
    fn C_GenerateKey(session: Handle, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut Handle) {
        let place = raw::place(key)?;
        place.write(object::generate_key(session, raw::mechanism(mechanism)?, raw::template(template, count)?)?);
        Ok(())
    }
    fn C_GenerateKeyPair(
        session: Handle, mechanism: *mut CK_MECHANISM,
        public: *mut CK_ATTRIBUTE, public_count: CK_ULONG,
        private: *mut CK_ATTRIBUTE, private_count: CK_ULONG,
        public_key: *mut Handle, private_key: *mut Handle
    ) {
        let places = (raw::place(public_key)?, raw::place(private_key)?);
        let templates = (raw::template(public, public_count)?, raw::template(private, private_count)?);
        let pair = object::generate_pair(session, raw::mechanism(mechanism)?, templates.0, templates.1)?;
        places.0.write(pair.0);
        places.1.write(pair.1);
        Ok(())
    }

    fn C_EncryptInit(session: Handle, mechanism: *mut CK_MECHANISM, key: Handle) {
        let iv = cipher::init(session, Operation::Encrypt, raw::mechanism(mechanism)?, key)?;
        raw::put_iv(mechanism, iv.as_deref());
        Ok(())
    }
    fn C_Encrypt(session: Handle, data: Bytes, length: CK_ULONG, out: Bytes, out_length: Length) {
        ending(session, Operation::Encrypt, || {
            finish(session, Operation::Encrypt, Some(raw::slice(data, length)?), out, out_length)
        })
    }
    fn C_EncryptUpdate(session: Handle, data: Bytes, length: CK_ULONG, out: Bytes, out_length: Length) {
        ending(session, Operation::Encrypt, || {
            update(session, Operation::Encrypt, raw::slice(data, length)?, out, out_length)
        })
    }
    fn C_EncryptFinal(session: Handle, out: Bytes, out_length: Length) {
        ending(session, Operation::Encrypt, || {
            finish(session, Operation::Encrypt, None, out, out_length)
        })
    }
    fn C_DecryptInit(session: Handle, mechanism: *mut CK_MECHANISM, key: Handle) {
        cipher::init(session, Operation::Decrypt, raw::mechanism(mechanism)?, key).map(drop)
    }
    fn C_Decrypt(session: Handle, data: Bytes, length: CK_ULONG, out: Bytes, out_length: Length) {
        ending(session, Operation::Decrypt, || {
            finish(session, Operation::Decrypt, Some(raw::slice(data, length)?), out, out_length)
        })
    }
    fn C_DecryptUpdate(session: Handle, data: Bytes, length: CK_ULONG, out: Bytes, out_length: Length) {
        ending(session, Operation::Decrypt, || {
            update(session, Operation::Decrypt, raw::slice(data, length)?, out, out_length)
        })
    }
    fn C_DecryptFinal(session: Handle, out: Bytes, out_length: Length) {
        ending(session, Operation::Decrypt, || {
            finish(session, Operation::Decrypt, None, out, out_length)
        })
    }
    fn C_SignInit(session: Handle, mechanism: *mut CK_MECHANISM, key: Handle) {
        cipher::init(session, Operation::Sign, raw::mechanism(mechanism)?, key).map(drop)
    }
    fn C_Sign(session: Handle, data: Bytes, length: CK_ULONG, out: Bytes, out_length: Length) {
        ending(session, Operation::Sign, || {
            finish(session, Operation::Sign, Some(raw::slice(data, length)?), out, out_length)
        })
    }
    fn C_SignUpdate(session: Handle, data: Bytes, length: CK_ULONG) {
        ending(session, Operation::Sign, || {
            cipher::update(session, Operation::Sign, raw::slice(data, length)?)
        })
    }
    fn C_SignFinal(session: Handle, out: Bytes, out_length: Length) {
        ending(session, Operation::Sign, || {
            finish(session, Operation::Sign, None, out, out_length)
        })
    }
    fn C_VerifyInit(session: Handle, mechanism: *mut CK_MECHANISM, key: Handle) {
        cipher::init(session, Operation::Verify, raw::mechanism(mechanism)?, key).map(drop)
    }
    fn C_Verify(session: Handle, data: Bytes, length: CK_ULONG, signature: Bytes, signature_length: CK_ULONG) {
        ending(session, Operation::Verify, || {
            sign::verify(session, Some(raw::slice(data, length)?), raw::slice(signature, signature_length)?)
        })
    }
    fn C_VerifyUpdate(session: Handle, data: Bytes, length: CK_ULONG) {
        ending(session, Operation::Verify, || {
            cipher::update(session, Operation::Verify, raw::slice(data, length)?)
        })
    }
    fn C_VerifyFinal(session: Handle, signature: Bytes, length: CK_ULONG) {
        ending(session, Operation::Verify, || {
            sign::verify(session, None, raw::slice(signature, length)?)
        })
    }

    fn C_GenerateRandom(session: Handle, out: Bytes, length: CK_ULONG) {
        let place = raw::place(out)?;
        let random = random::generate(session, length as usize)?;
        std::ptr::copy_nonoverlapping(random.0.as_ptr(), place.as_ptr(), random.0.len());
        Ok(())
    }
}

/// A PIN. A null pointer asks for a PIN pad, which there is none of.
unsafe fn secret(pointer: Bytes, length: CK_ULONG) -> Result<Secret, CK_RV> {
    // SAFETY: the caller vouches for the array.
    unsafe { raw::slice(pointer.cast_const(), length) }.map(|pin| Secret(pin.to_vec()))
}

/// Whatever goes wrong ends the operation, an argument that is refused too; only a buffer that is too
/// small does not.
fn ending(
    session: Handle,
    operation: Operation,
    call: impl FnOnce() -> Result<(), CK_RV>,
) -> Result<(), CK_RV> {
    let result = call();
    if result.is_err_and(|error| error != CKR_BUFFER_TOO_SMALL) {
        cipher::end(session, operation);
    }
    result
}

unsafe fn finish(
    session: Handle,
    operation: Operation,
    data: Option<&[u8]>,
    out: Bytes,
    length: Length,
) -> Result<(), CK_RV> {
    // SAFETY: the caller vouches for buffer and length.
    unsafe {
        let room = raw::room(out, length)?;
        raw::deliver(cipher::finish(session, operation, data, room)?, out, length)
    }
}

/// Takes a part and gives nothing back yet.
unsafe fn update(
    session: Handle,
    operation: Operation,
    part: &[u8],
    out: Bytes,
    length: Length,
) -> Result<(), CK_RV> {
    let place = raw::place(length)?;
    if !out.is_null() {
        cipher::update(session, operation, part)?;
    }
    // SAFETY: not null; the caller vouches for the length.
    unsafe { place.write(0) };
    Ok(())
}
