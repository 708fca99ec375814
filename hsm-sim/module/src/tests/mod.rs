//! The C surface against a daemon that knows only what these tests ask.

mod on_token;
mod over_tls;
#[path = "../../../tests/support/pki.rs"]
mod pki;

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;

use cryptoki_sys::*;
use hsm_sim::wire::{self, Answer, Request, Response, Secret};

use crate::*;

fn answer(request: Request) -> Response {
    Ok(match request {
        Request::OpenSession { .. } => Answer::Session(7),
        Request::AttributeValues { kinds, .. } => {
            Answer::Attributes(kinds.iter().map(|&kind| value(kind)).collect())
        }
        Request::Encrypt { data, .. } => {
            Answer::Data(Secret([data.0.as_slice(), &[0; 16]].concat()))
        }
        _ => Answer::Done,
    })
}

fn value(kind: u64) -> Result<Vec<u8>, u64> {
    if kind == CKA_VALUE {
        Err(CKR_ATTRIBUTE_SENSITIVE)
    } else {
        Ok(b"label".to_vec())
    }
}

fn serve(mut stream: UnixStream) {
    while let Ok(request) = wire::receive(&mut stream) {
        wire::send(&mut stream, &answer(request)).unwrap();
    }
}

/// The module's state belongs to the process: one test at a time.
pub(crate) static TURN: Mutex<()> = Mutex::new(());

#[test]
fn calls_reach_the_daemon() {
    let _turn = state::lock(&TURN);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let mut session = 0;
    // SAFETY: all pointers come from live variables of the right type.
    unsafe {
        assert_eq!(C_CloseSession(1), CKR_CRYPTOKI_NOT_INITIALIZED);
        general::initialise(Some(&format!("socket={}", path.display()))).unwrap();
        assert_eq!(
            C_Initialize(std::ptr::null_mut()),
            CKR_CRYPTOKI_ALREADY_INITIALIZED
        );
        assert_eq!(C_GetInfo(std::ptr::null_mut()), CKR_ARGUMENTS_BAD);
        assert_eq!(
            C_OpenSession(
                0,
                CKF_SERIAL_SESSION,
                std::ptr::null_mut(),
                None,
                &mut session
            ),
            CKR_OK
        );
        attributes_are_filled_one_by_one(session);
        size_query_keeps_the_operation(session);
        assert_eq!(C_CloseSession(session), CKR_OK);
        assert_eq!(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(C_Finalize(std::ptr::null_mut()), CKR_OK);
    }
}

fn attributes_are_filled_one_by_one(session: u64) {
    let mut buffer = [0u8; 8];
    let entry = |kind, buffer: &mut [u8], length| CK_ATTRIBUTE {
        type_: kind,
        pValue: buffer.as_mut_ptr().cast(),
        ulValueLen: length,
    };
    let mut asked = [
        entry(CKA_VALUE, &mut [0; 4], 4),
        entry(CKA_LABEL, &mut buffer, 8),
        entry(CKA_LABEL, &mut [0; 4], 4),
    ];
    // SAFETY: the one value that is written has room for it.
    let result = unsafe { C_GetAttributeValue(session, 1, asked.as_mut_ptr(), 3) };
    assert_eq!(result, CKR_ATTRIBUTE_SENSITIVE);
    assert_eq!(
        asked.map(|entry| entry.ulValueLen),
        [CK_UNAVAILABLE_INFORMATION, 5, CK_UNAVAILABLE_INFORMATION]
    );
    assert_eq!(&buffer[..5], b"label");
}

fn size_query_keeps_the_operation(session: u64) {
    let mut iv = [0u8; 12];
    let mut params = CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvBits: 96,
        pAAD: std::ptr::null_mut(),
        ulAADLen: 0,
        ulTagBits: 128,
    };
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_AES_GCM,
        pParameter: (&raw mut params).cast(),
        ulParameterLen: size_of_val(&params) as u64,
    };
    let (mut data, mut out, mut length) = (*b"abc", [0u8; 19], 0);
    // SAFETY: all pointers come from live variables of the right type.
    unsafe {
        assert_eq!(C_EncryptInit(session, &mut mechanism, 1), CKR_OK);
        assert_eq!(
            C_Encrypt(
                session,
                data.as_mut_ptr(),
                3,
                std::ptr::null_mut(),
                &mut length
            ),
            CKR_OK
        );
        assert_eq!(length, 19);
        length = 18;
        assert_eq!(
            C_Encrypt(session, data.as_mut_ptr(), 3, out.as_mut_ptr(), &mut length),
            CKR_BUFFER_TOO_SMALL
        );
        assert_eq!(
            C_Encrypt(session, data.as_mut_ptr(), 3, out.as_mut_ptr(), &mut length),
            CKR_OK
        );
        assert_eq!(
            C_Encrypt(session, data.as_mut_ptr(), 3, out.as_mut_ptr(), &mut length),
            CKR_OPERATION_NOT_INITIALIZED
        );
    }
    assert_eq!(&out[..3], b"abc");
}
