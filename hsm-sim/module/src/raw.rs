//! From C's pointers to safe types and back. Null is always checked; that a pointer which is not
//! null points to what PKCS#11 says is the caller's duty, and every function's safety condition.

use std::ffi::c_void;
use std::ptr::NonNull;

use cryptoki_sys::*;
use hsm_sim::wire::{Attribute, GcmParams, Mechanism};

use crate::attributes::Entry;
use crate::cipher::Output;

/// A pointer that must not be null.
pub fn place<T>(pointer: *mut T) -> Result<NonNull<T>, CK_RV> {
    NonNull::new(pointer).ok_or(CKR_ARGUMENTS_BAD)
}

/// An array of the caller's; empty ones may be null.
pub unsafe fn slice<'a, T>(pointer: *const T, length: CK_ULONG) -> Result<&'a [T], CK_RV> {
    if length == 0 {
        return Ok(&[]);
    }
    let length = usize::try_from(length).map_err(|_| CKR_ARGUMENTS_BAD)?;
    let bytes = length.checked_mul(size_of::<T>());
    if pointer.is_null() || !pointer.is_aligned() || bytes.is_none_or(|n| n > isize::MAX as usize) {
        return Err(CKR_ARGUMENTS_BAD);
    }
    // SAFETY: not null, aligned and of a possible size; the caller vouches for the content.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// A template with values.
pub unsafe fn template(
    pointer: *const CK_ATTRIBUTE,
    count: CK_ULONG,
) -> Result<Vec<Attribute>, CK_RV> {
    // SAFETY: the caller vouches for the array.
    let entries = unsafe { slice(pointer, count) }?;
    let copy = |entry: &CK_ATTRIBUTE| {
        if entry.type_ & CKF_ARRAY_ATTRIBUTE != 0 {
            // Its value holds pointers, which mean nothing to the daemon.
            return Err(CKR_ATTRIBUTE_TYPE_INVALID);
        }
        // SAFETY: the caller vouches for each value.
        let value = unsafe { slice(entry.pValue.cast::<u8>(), entry.ulValueLen) }?;
        Ok(Attribute {
            kind: entry.type_,
            value: value.to_vec(),
        })
    };
    entries.iter().map(copy).collect()
}

/// A mechanism with its parameters.
pub unsafe fn mechanism(pointer: *const CK_MECHANISM) -> Result<Mechanism, CK_RV> {
    // SAFETY: the caller vouches for the structure.
    let raw = unsafe { pointer.as_ref() }.ok_or(CKR_ARGUMENTS_BAD)?;
    let gcm = match raw.mechanism {
        // SAFETY: the caller vouches for the parameters.
        CKM_AES_GCM => Some(unsafe { gcm(raw) }?),
        CKM_EDDSA => {
            // SAFETY: as above.
            unsafe { pure_eddsa(raw) }?;
            None
        }
        _ if raw.ulParameterLen != 0 => return Err(CKR_MECHANISM_PARAM_INVALID),
        _ => None,
    };
    Ok(Mechanism {
        kind: raw.mechanism,
        gcm,
    })
}

/// The parameters as `T`, if that is what the caller passed.
unsafe fn parameters<T: Copy>(raw: &CK_MECHANISM) -> Result<T, CK_RV> {
    if raw.pParameter.is_null() || raw.ulParameterLen != size_of::<T>() as CK_ULONG {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    // SAFETY: of the right size; read without relying on alignment.
    Ok(unsafe { raw.pParameter.cast::<T>().read_unaligned() })
}

unsafe fn gcm(raw: &CK_MECHANISM) -> Result<GcmParams, CK_RV> {
    // SAFETY: the caller vouches for the parameters.
    let params: CK_GCM_PARAMS = unsafe { parameters(raw) }?;
    // Many callers leave ulIvBits 0; one that contradicts ulIvLen is a mistake.
    if params.ulIvBits != 0 && Some(params.ulIvBits) != params.ulIvLen.checked_mul(8) {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    // SAFETY: the caller vouches for both arrays.
    let (iv, aad) = unsafe {
        (
            slice(params.pIv, params.ulIvLen)?,
            slice(params.pAAD, params.ulAADLen)?,
        )
    };
    if iv.len() > 256 || aad.len() > 32 * 1024 {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    Ok(GcmParams {
        iv: iv.to_vec(),
        aad: aad.to_vec(),
        tag_bits: params.ulTagBits,
    })
}

/// Writes the IV that the device chose into the caller's parameters, which [`mechanism`] has read.
pub unsafe fn put_iv(mechanism: *const CK_MECHANISM, iv: Option<&[u8]>) {
    let Some(iv) = iv else { return };
    // SAFETY: the caller vouches for all pointers; the IV is as long as the one read from there.
    unsafe {
        let params: CK_GCM_PARAMS = (*mechanism)
            .pParameter
            .cast::<CK_GCM_PARAMS>()
            .read_unaligned();
        std::ptr::copy_nonoverlapping(iv.as_ptr(), params.pIv, iv.len());
    }
}

/// No parameters, or those that say "pure Ed25519": neither prehashed nor with a context.
unsafe fn pure_eddsa(raw: &CK_MECHANISM) -> Result<(), CK_RV> {
    if raw.ulParameterLen == 0 {
        return Ok(());
    }
    // SAFETY: the caller vouches for the parameters.
    let params: CK_EDDSA_PARAMS = unsafe { parameters(raw) }?;
    let pure = params.phFlag == CK_FALSE && params.ulContextDataLen == 0;
    if pure {
        Ok(())
    } else {
        Err(CKR_MECHANISM_PARAM_INVALID)
    }
}

/// The size of an output buffer, `None` if only the length is asked.
pub unsafe fn room<T>(buffer: *mut T, length: *mut CK_ULONG) -> Result<Option<usize>, CK_RV> {
    let length = place(length)?;
    if buffer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for the length, which is set if there is a buffer.
    usize::try_from(unsafe { length.read() })
        .map(Some)
        .map_err(|_| CKR_ARGUMENTS_BAD)
}

/// Answers a function with an output buffer.
pub unsafe fn deliver(output: Output, buffer: *mut u8, length: *mut CK_ULONG) -> Result<(), CK_RV> {
    let data = match output {
        Output::Length(n) => {
            // SAFETY: the caller vouches for the length, checked by `room`.
            return unsafe { copy_out::<u8>(&[], std::ptr::null_mut(), length, n) };
        }
        Output::TooSmall(n) => {
            // SAFETY: as above.
            unsafe { copy_out::<u8>(&[], std::ptr::null_mut(), length, n) }?;
            return Err(CKR_BUFFER_TOO_SMALL);
        }
        Output::Data(data) => data,
    };
    // SAFETY: the caller vouches for a buffer of the size it gave.
    let room = unsafe { room(buffer, length) }?.unwrap_or(0);
    if room < data.0.len() {
        return Err(CKR_DEVICE_ERROR);
    }
    // SAFETY: checked to fit.
    unsafe { copy_out(&data.0, buffer, length, data.0.len()) }
}

unsafe fn copy_out<T: Copy>(
    items: &[T],
    buffer: *mut T,
    length: *mut CK_ULONG,
    n: usize,
) -> Result<(), CK_RV> {
    let place = place(length)?;
    // SAFETY: not null; the callers checked that the buffer holds all items, if there are any.
    unsafe {
        place.write(n as CK_ULONG);
        if !items.is_empty() {
            std::ptr::copy_nonoverlapping(items.as_ptr(), buffer, items.len());
        }
    }
    Ok(())
}

/// Answers a function that lists identifiers.
pub unsafe fn list(
    items: &[CK_ULONG],
    buffer: *mut CK_ULONG,
    count: *mut CK_ULONG,
) -> Result<(), CK_RV> {
    // SAFETY: the caller vouches for buffer and count.
    let room = unsafe { room(buffer, count) }?;
    let fits = room.is_some_and(|room| room >= items.len());
    let copied = if fits { items } else { &[] };
    // SAFETY: only copied if they fit.
    unsafe { copy_out(copied, buffer, count, items.len()) }?;
    if room.is_some() && !fits {
        Err(CKR_BUFFER_TOO_SMALL)
    } else {
        Ok(())
    }
}

/// Fills a template the caller asked with.
pub unsafe fn fill(asked: *mut CK_ATTRIBUTE, entries: &[Entry]) {
    for (index, entry) in entries.iter().enumerate() {
        // SAFETY: one entry for each the caller passed, each value no longer than its buffer.
        unsafe {
            let attribute = asked.add(index);
            (*attribute).ulValueLen = entry.length;
            if let Some(value) = &entry.value {
                std::ptr::copy_nonoverlapping(
                    value.as_ptr(),
                    (*attribute).pValue.cast(),
                    value.len(),
                );
            }
        }
    }
}

/// The reserved string of `C_Initialize`.
pub unsafe fn reserved<'a>(arguments: *mut c_void) -> Result<Option<&'a str>, CK_RV> {
    // SAFETY: the caller vouches for the structure.
    let Some(arguments) = (unsafe { arguments.cast::<CK_C_INITIALIZE_ARGS>().as_ref() }) else {
        return Ok(None);
    };
    let own = [
        arguments.CreateMutex.is_some(),
        arguments.LockMutex.is_some(),
    ];
    if own.contains(&true) && arguments.flags & CKF_OS_LOCKING_OK == 0 {
        // This module only knows the locks of the system.
        return Err(CKR_CANT_LOCK);
    }
    if arguments.pReserved.is_null() {
        return Ok(None);
    }
    // SAFETY: for this module a C string.
    let text = unsafe { std::ffi::CStr::from_ptr(arguments.pReserved.cast()) };
    text.to_str().map(Some).map_err(|_| CKR_ARGUMENTS_BAD)
}
