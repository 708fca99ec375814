//! The one slot and its token.

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Request, Secret};

use crate::client::{once, unexpected};
use crate::state;

/// The only slot.
pub const ID: u64 = 0;

const VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };

/// What the token can do: mechanism, smallest and largest key, flags.
const MECHANISMS: [(u64, u64, u64, u64); 4] = [
    (CKM_AES_KEY_GEN, 16, 32, CKF_HW | CKF_GENERATE),
    (CKM_AES_GCM, 16, 32, CKF_HW | CKF_ENCRYPT | CKF_DECRYPT),
    (
        CKM_EC_EDWARDS_KEY_PAIR_GEN,
        255,
        255,
        CKF_HW | CKF_GENERATE_KEY_PAIR,
    ),
    (CKM_EDDSA, 255, 255, CKF_HW | CKF_SIGN | CKF_VERIFY),
];

/// Text as PKCS#11 stores it: padded with blanks, cut at a character.
pub fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    let end = (0..=N.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    let kept = &text.as_bytes()[..end.unwrap_or(0)];
    field[..kept.len()].copy_from_slice(kept);
    field
}

/// Refuses any other slot.
pub fn check(slot: u64) -> Result<(), CK_RV> {
    state::with(|_| ())?;
    if slot == ID {
        Ok(())
    } else {
        Err(CKR_SLOT_ID_INVALID)
    }
}

fn ask(request: &Request) -> Result<Answer, CK_RV> {
    let daemon = state::with(|state| state.daemon.clone())?;
    once(&daemon, request)
}

/// `C_GetSlotList`: the token is present while the daemon can be reached.
pub fn list(present_only: bool) -> Result<Vec<u64>, CK_RV> {
    state::with(|_| ())?;
    if present_only && !is_present() {
        return Ok(Vec::new());
    }
    Ok(vec![ID])
}

fn is_present() -> bool {
    let daemon = state::with(|state| state.daemon.clone());
    daemon.is_ok_and(|daemon| daemon.connect().is_ok())
}

/// `C_GetSlotInfo`
pub fn info(slot: u64) -> Result<CK_SLOT_INFO, CK_RV> {
    check(slot)?;
    let present = if is_present() { CKF_TOKEN_PRESENT } else { 0 };
    Ok(CK_SLOT_INFO {
        slotDescription: padded("HSM simulator slot"),
        manufacturerID: padded("Lethe"),
        flags: CKF_HW_SLOT | CKF_REMOVABLE_DEVICE | present,
        hardwareVersion: VERSION,
        firmwareVersion: VERSION,
    })
}

/// `C_GetTokenInfo`
pub fn token(slot: u64) -> Result<CK_TOKEN_INFO, CK_RV> {
    check(slot)?;
    let token = match ask(&Request::TokenInfo)? {
        Answer::Token(token) => token,
        other => return unexpected(other),
    };
    let (all, read_write) = state::with(|state| {
        let read_write = state.sessions.values().filter(|session| session.read_write);
        (state.sessions.len() as u64, read_write.count() as u64)
    })?;
    Ok(CK_TOKEN_INFO {
        label: padded(&token.label),
        manufacturerID: padded("Lethe"),
        model: padded("hsm-sim"),
        serialNumber: padded(&token.serial),
        flags: token.flags,
        ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
        ulSessionCount: all,
        ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
        ulRwSessionCount: read_write,
        ulMaxPinLen: 255,
        ulMinPinLen: 4,
        ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePublicMemory: token.free_objects,
        ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePrivateMemory: token.free_objects,
        hardwareVersion: VERSION,
        firmwareVersion: VERSION,
        utcTime: [b'0'; 16],
    })
}

/// `C_InitToken`
pub fn init_token(slot: u64, so_pin: Secret, label: &[u8]) -> Result<(), CK_RV> {
    check(slot)?;
    let busy = state::with(|state| {
        state.prune();
        !state.sessions.is_empty()
    })?;
    if busy {
        return Err(CKR_SESSION_EXISTS);
    }
    let label = std::str::from_utf8(label).map_err(|_| CKR_ARGUMENTS_BAD)?;
    let label = label.trim_end().to_owned();
    ask(&Request::InitToken { so_pin, label }).map(drop)
}

/// `C_GetMechanismList`
pub fn mechanisms(slot: u64) -> Result<Vec<u64>, CK_RV> {
    check(slot)?;
    Ok(MECHANISMS.iter().map(|entry| entry.0).collect())
}

/// `C_GetMechanismInfo`
pub fn mechanism(slot: u64, kind: u64) -> Result<CK_MECHANISM_INFO, CK_RV> {
    check(slot)?;
    let entry = MECHANISMS.iter().find(|entry| entry.0 == kind);
    let &(_, smallest, largest, flags) = entry.ok_or(CKR_MECHANISM_INVALID)?;
    Ok(CK_MECHANISM_INFO {
        ulMinKeySize: smallest,
        ulMaxKeySize: largest,
        flags,
    })
}
