//! Sessions and PINs.

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Request, Secret, UserType};

use crate::client::unexpected;
use crate::connection::Session;
use crate::slot;
use crate::state;

/// `C_OpenSession`
pub fn open(slot: u64, flags: u64) -> Result<u64, CK_RV> {
    slot::check(slot)?;
    if flags & CKF_SERIAL_SESSION == 0 {
        return Err(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    }
    let read_write = flags & CKF_RW_SESSION != 0;
    let (daemon, officer) = state::with(|state| {
        state.prune();
        (
            state.daemon.clone(),
            state.is_logged_in(UserType::SecurityOfficer),
        )
    })?;
    if officer && !read_write {
        return Err(CKR_SESSION_READ_WRITE_SO_EXISTS);
    }
    let session = Session::open(&daemon, read_write)?;
    state::with(|state| state.insert(session))
}

/// `C_CloseSession`
pub fn close(handle: u64) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    state::with(|state| {
        state.sessions.remove(&handle);
        if state.sessions.is_empty() {
            state.login = None;
        }
    })?;
    session.close();
    Ok(())
}

/// `C_CloseAllSessions`
pub fn close_all(slot: u64) -> Result<(), CK_RV> {
    slot::check(slot)?;
    state::with(|state| state.close_all())
}

/// `C_GetSessionInfo`
pub fn info(handle: u64) -> Result<CK_SESSION_INFO, CK_RV> {
    let session = state::session(handle)?;
    match session.call(&Request::SessionInfo {
        session: session.remote,
    })? {
        Answer::SessionInfo { state, flags } => Ok(CK_SESSION_INFO {
            slotID: slot::ID,
            state,
            flags,
            ulDeviceError: 0,
        }),
        other => unexpected(other),
    }
}

/// `C_Login`
pub fn log_in(handle: u64, user: u64, pin: Secret) -> Result<(), CK_RV> {
    let user = match user {
        CKU_SO => UserType::SecurityOfficer,
        CKU_USER => UserType::User,
        CKU_CONTEXT_SPECIFIC => return Err(CKR_OPERATION_NOT_INITIALIZED),
        _ => return Err(CKR_USER_TYPE_INVALID),
    };
    let session = state::session(handle)?;
    let read_only = state::with(|state| {
        state.prune();
        state.sessions.values().any(|session| !session.read_write)
    })?;
    if user == UserType::SecurityOfficer && read_only {
        return Err(CKR_SESSION_READ_ONLY_EXISTS);
    }
    session.log_in(user, pin)?;
    follow()
}

/// `C_Logout`
pub fn log_out(handle: u64) -> Result<(), CK_RV> {
    state::session(handle)?.log_out()?;
    follow()
}

/// Tells the other sessions at once: a session that is never used again must not stay logged in.
fn follow() -> Result<(), CK_RV> {
    let sessions: Vec<_> = state::with(|state| state.sessions.values().cloned().collect())?;
    sessions.iter().for_each(|session| session.follow_if_idle());
    Ok(())
}

/// `C_InitPIN`
pub fn init_pin(handle: u64, pin: Secret) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    session.run(&Request::InitPin {
        session: session.remote,
        pin,
    })
}

/// `C_SetPIN`
pub fn set_pin(handle: u64, old: Secret, new: Secret) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    session.run(&Request::SetPin {
        session: session.remote,
        old,
        new: new.clone(),
    })?;
    state::with(|state| {
        // Later sessions log in with the PIN that is now valid.
        if let Some(login) = state.login.as_mut() {
            login.pin = new;
        }
    })
}
