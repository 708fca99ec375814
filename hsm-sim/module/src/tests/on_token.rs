//! The C surface against a real token.

use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

use hsm_sim::daemon::{self, Service};
use hsm_sim::token::{self, IvSource};

use super::*;

/// Serves a new token and initialises the module; the daemon ends with the process.
fn token(iv: IvSource) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("token");
    token::initialise(&dir, "first", b"12345678", b"1234").unwrap();
    let service = Service {
        socket: None,
        tls: None,
        iv,
        exit_on_stdin_close: false,
        dir: dir.clone(),
    };
    thread::spawn(move || daemon::serve(&service).unwrap());
    let socket = dir.join("hsm.sock");
    while UnixStream::connect(&socket).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    general::initialise(Some(&format!("socket={}", socket.display()))).unwrap();
    temp
}

pub(super) fn session() -> u64 {
    let mut session = 0;
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    // SAFETY: the one pointer comes from a live variable.
    let opened = unsafe { C_OpenSession(0, flags, null_mut(), None, &mut session) };
    assert_eq!(opened, CKR_OK);
    session
}

pub(super) fn log_in(session: u64, user: u64, pin: &str) -> CK_RV {
    // SAFETY: pointer and length are of one live slice.
    unsafe { C_Login(session, user, pin.as_ptr().cast_mut(), pin.len() as u64) }
}

fn mechanism(kind: u64) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: null_mut(),
        ulParameterLen: 0,
    }
}

fn attribute(kind: u64, value: &mut [u8]) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        pValue: value.as_mut_ptr().cast(),
        ulValueLen: value.len() as u64,
    }
}

pub(super) fn end() {
    // SAFETY: null is what it wants.
    assert_eq!(unsafe { C_Finalize(null_mut()) }, CKR_OK);
}

#[test]
fn signatures_made_at_once_or_in_parts_verify_at_once_or_in_parts() {
    let _turn = state::lock(&TURN);
    let _token = token(IvSource::Caller);
    let session = session();
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_OK);
    let (mut curve, mut pair) = (*b"\x13\x0cedwards25519", (0, 0));
    let mut public = [attribute(CKA_EC_PARAMS, &mut curve)];
    let (mut generate, mut eddsa) = (mechanism(CKM_EC_EDWARDS_KEY_PAIR_GEN), mechanism(CKM_EDDSA));
    let (mut text, mut other) = (*b"in two parts", *b"in two pants");
    let (mut once, mut parts, mut length) = ([0; 64], [0; 64], 64);
    // SAFETY: all pointers come from live variables of the right type and length.
    unsafe {
        let (public_key, private_key) = (&mut pair.0, &mut pair.1);
        assert_eq!(
            C_GenerateKeyPair(
                session,
                &mut generate,
                public.as_mut_ptr(),
                1,
                null_mut(),
                0,
                public_key,
                private_key
            ),
            CKR_OK
        );
        assert_eq!(C_SignInit(session, &mut eddsa, pair.1), CKR_OK);
        assert_eq!(
            C_Sign(
                session,
                text.as_mut_ptr(),
                12,
                once.as_mut_ptr(),
                &mut length
            ),
            CKR_OK
        );
        assert_eq!(C_SignInit(session, &mut eddsa, pair.1), CKR_OK);
        assert_eq!(C_SignUpdate(session, text.as_mut_ptr(), 6), CKR_OK);
        assert_eq!(C_SignUpdate(session, text.as_mut_ptr().add(6), 6), CKR_OK);
        assert_eq!(
            C_SignFinal(session, parts.as_mut_ptr(), &mut length),
            CKR_OK
        );
        assert_eq!(once, parts);
        assert_eq!(
            C_VerifyInit(session, &mut eddsa, pair.1),
            CKR_KEY_TYPE_INCONSISTENT
        );
        assert_eq!(C_VerifyInit(session, &mut eddsa, pair.0), CKR_OK);
        assert_eq!(
            C_Verify(session, text.as_mut_ptr(), 12, once.as_mut_ptr(), 64),
            CKR_OK
        );
        assert_eq!(
            C_Verify(session, text.as_mut_ptr(), 12, once.as_mut_ptr(), 64),
            CKR_OPERATION_NOT_INITIALIZED
        );
        assert_eq!(C_VerifyInit(session, &mut eddsa, pair.0), CKR_OK);
        assert_eq!(
            C_Verify(session, other.as_mut_ptr(), 12, once.as_mut_ptr(), 64),
            CKR_SIGNATURE_INVALID
        );
        assert_eq!(C_VerifyInit(session, &mut eddsa, pair.0), CKR_OK);
        assert_eq!(C_VerifyUpdate(session, text.as_mut_ptr(), 6), CKR_OK);
        assert_eq!(C_VerifyUpdate(session, text.as_mut_ptr().add(6), 6), CKR_OK);
        assert_eq!(C_VerifyFinal(session, once.as_mut_ptr(), 64), CKR_OK);
        assert_eq!(C_VerifyInit(session, &mut eddsa, pair.0), CKR_OK);
        assert_eq!(
            C_VerifyFinal(session, once.as_mut_ptr(), 63),
            CKR_SIGNATURE_LEN_RANGE
        );
    }
    end();
}

pub(super) fn new_aes_key(session: u64) -> u64 {
    let (mut size, mut key) = (32u64.to_le_bytes(), 0);
    let mut template = [attribute(CKA_VALUE_LEN, &mut size)];
    // SAFETY: all pointers come from live variables.
    let made = unsafe {
        C_GenerateKey(
            session,
            &mut mechanism(CKM_AES_KEY_GEN),
            template.as_mut_ptr(),
            1,
            &mut key,
        )
    };
    assert_eq!(made, CKR_OK);
    key
}

fn gcm(iv: &mut [u8; 12]) -> CK_GCM_PARAMS {
    CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvBits: 96,
        pAAD: null_mut(),
        ulAADLen: 0,
        ulTagBits: 128,
    }
}

/// Encrypts and decrypts in parts with the IV that stands in `iv` after `C_EncryptInit`.
pub(super) fn round_trip(session: u64, key: u64, iv: &mut [u8; 12]) {
    let mut params = gcm(iv);
    let mut mechanism = CK_MECHANISM {
        pParameter: (&raw mut params).cast(),
        ulParameterLen: size_of_val(&params) as u64,
        ..mechanism(CKM_AES_GCM)
    };
    let (mut text, mut sealed, mut open) = (*b"in two parts", [0u8; 28], [0u8; 12]);
    // SAFETY: all pointers come from live variables of the right type and length.
    unsafe {
        let mut none = 0;
        assert_eq!(C_EncryptInit(session, &mut mechanism, key), CKR_OK);
        assert_eq!(
            C_EncryptUpdate(
                session,
                text.as_mut_ptr(),
                6,
                sealed.as_mut_ptr(),
                &mut none
            ),
            CKR_OK
        );
        assert_eq!(
            C_EncryptUpdate(
                session,
                text.as_mut_ptr().add(6),
                6,
                sealed.as_mut_ptr(),
                &mut none
            ),
            CKR_OK
        );
        let mut length = 28;
        assert_eq!(
            C_EncryptFinal(session, sealed.as_mut_ptr(), &mut length),
            CKR_OK
        );
        assert_eq!((none, length), (0, 28));
        assert_eq!(C_DecryptInit(session, &mut mechanism, key), CKR_OK);
        assert_eq!(
            C_DecryptUpdate(
                session,
                sealed.as_mut_ptr(),
                20,
                open.as_mut_ptr(),
                &mut none
            ),
            CKR_OK
        );
        assert_eq!(
            C_DecryptUpdate(
                session,
                sealed.as_mut_ptr().add(20),
                8,
                open.as_mut_ptr(),
                &mut none
            ),
            CKR_OK
        );
        length = 12;
        assert_eq!(
            C_DecryptFinal(session, open.as_mut_ptr(), &mut length),
            CKR_OK
        );
    }
    assert_eq!(open, text);
}

#[test]
fn encrypts_in_parts_under_the_callers_iv() {
    let _turn = state::lock(&TURN);
    let _token = token(IvSource::Caller);
    let session = session();
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_OK);
    let key = new_aes_key(session);
    let mut iv = [3; 12];
    round_trip(session, key, &mut iv);
    assert_eq!(iv, [3; 12]);
    end();
}

#[test]
fn a_refused_argument_ends_the_operation_and_a_small_buffer_does_not() {
    let _turn = state::lock(&TURN);
    let _token = token(IvSource::Caller);
    let session = session();
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_OK);
    let key = new_aes_key(session);
    let (mut iv, mut length) = ([3; 12], 1);
    let mut params = gcm(&mut iv);
    let mut mechanism = CK_MECHANISM {
        pParameter: (&raw mut params).cast(),
        ulParameterLen: size_of_val(&params) as u64,
        ..mechanism(CKM_AES_GCM)
    };
    let (mut text, mut sealed, nothing) = (*b"text", [0u8; 32], std::ptr::null_mut());
    let (text, sealed) = (text.as_mut_ptr(), sealed.as_mut_ptr());
    // SAFETY: all pointers are null or come from live variables of the right type and length.
    unsafe {
        assert_eq!(C_EncryptInit(session, &mut mechanism, key), CKR_OK);
        let small = C_Encrypt(session, text, 4, sealed, &mut length);
        assert_eq!((small, length), (CKR_BUFFER_TOO_SMALL, 20));
        let active = C_EncryptInit(session, &mut mechanism, key);
        assert_eq!(active, CKR_OPERATION_ACTIVE);
        for refused in [
            C_Encrypt(session, nothing, 4, sealed, &mut length),
            C_EncryptUpdate(session, nothing, 4, sealed, &mut length),
            C_Encrypt(session, text, 4, sealed, std::ptr::null_mut()),
        ] {
            // The second and third find none active any more.
            assert!([CKR_ARGUMENTS_BAD, CKR_OPERATION_NOT_INITIALIZED].contains(&refused));
            assert_eq!(C_EncryptInit(session, &mut mechanism, key), CKR_OK);
            let ended = C_Encrypt(session, nothing, 4, sealed, &mut length);
            assert_eq!(ended, CKR_ARGUMENTS_BAD);
        }
        assert_eq!(C_DecryptInit(session, &mut mechanism, key), CKR_OK);
        let refused = C_DecryptUpdate(session, nothing, 4, sealed, &mut length);
        assert_eq!(refused, CKR_ARGUMENTS_BAD);
        assert_eq!(C_DecryptInit(session, &mut mechanism, key), CKR_OK);
    }
    end();
}

#[test]
fn a_device_that_chooses_ivs_writes_them_into_the_callers_parameters() {
    let _turn = state::lock(&TURN);
    let _token = token(IvSource::Device);
    let session = session();
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_OK);
    let key = new_aes_key(session);
    let (mut one, mut two) = ([0; 12], [0; 12]);
    round_trip(session, key, &mut one);
    round_trip(session, key, &mut two);
    assert!(one != [0; 12] && one != two);
    end();
}

#[test]
fn a_token_is_initialised_anew_and_its_pins_are_changed() {
    let _turn = state::lock(&TURN);
    let _token = token(IvSource::Caller);
    let (mut so, mut label) = (*b"12345678", [b' '; 32]);
    label[..6].copy_from_slice(b"second");
    let (mut pin, mut next) = (*b"4321", *b"56789");
    // SAFETY: all pointers come from live variables of the right type and length.
    unsafe {
        assert_eq!(
            C_InitToken(0, pin.as_mut_ptr(), 4, label.as_mut_ptr()),
            CKR_PIN_INCORRECT
        );
        assert_eq!(
            C_InitToken(0, so.as_mut_ptr(), 8, label.as_mut_ptr()),
            CKR_OK
        );
        assert_eq!(slot::token(0).unwrap().label, label);
        let first = session();
        assert_eq!(
            log_in(first, CKU_USER, "1234"),
            CKR_USER_PIN_NOT_INITIALIZED
        );
        assert_eq!(
            C_InitToken(0, so.as_mut_ptr(), 8, label.as_mut_ptr()),
            CKR_SESSION_EXISTS
        );
        assert_eq!(
            C_InitPIN(first, pin.as_mut_ptr(), 4),
            CKR_USER_NOT_LOGGED_IN
        );
        assert_eq!(log_in(first, CKU_SO, "12345678"), CKR_OK);
        assert_eq!(C_InitPIN(first, pin.as_mut_ptr(), 4), CKR_OK);
        assert_eq!(C_Logout(first), CKR_OK);
        assert_eq!(log_in(first, CKU_USER, "4321"), CKR_OK);
        assert_eq!(
            C_SetPIN(first, so.as_mut_ptr(), 8, next.as_mut_ptr(), 5),
            CKR_PIN_INCORRECT
        );
        assert_eq!(
            C_SetPIN(first, pin.as_mut_ptr(), 4, next.as_mut_ptr(), 5),
            CKR_OK
        );
        // A session opened later logs in by itself, with the new PIN.
        new_aes_key(session());
        assert_eq!(C_Logout(first), CKR_OK);
        assert_eq!(log_in(first, CKU_USER, "4321"), CKR_PIN_INCORRECT);
        assert_eq!(log_in(first, CKU_USER, "56789"), CKR_OK);
    }
    end();
}

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn alarm(seconds: u32) -> u32;
    fn _exit(status: i32) -> !;
}

/// The child's part: it must not wait for a lock that nobody holds any more.
fn start_over() -> bool {
    let refused = state::with(|_| ()) == Err(CKR_CRYPTOKI_NOT_INITIALIZED);
    refused && general::initialise(None).is_ok() && state::with(|_| ()).is_ok()
}

#[test]
fn a_child_forked_amid_a_call_initialises_anew() {
    let _turn = state::lock(&TURN);
    let _token = token(IvSource::Caller);
    let session = session();
    // Inside of `with` the state is locked, as when another thread is in a call.
    // SAFETY: the child calls only what may be called after a fork, and ends itself.
    let child = state::with(|_| unsafe {
        let child = fork();
        if child == 0 {
            alarm(10);
            _exit(if start_over() { 0 } else { 1 });
        }
        child
    });
    let mut status = -1;
    // SAFETY: the pointer comes from a live variable.
    unsafe { waitpid(child.unwrap(), &mut status, 0) };
    assert_eq!(status, 0);
    // The parent's session goes on.
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_OK);
    end();
}
