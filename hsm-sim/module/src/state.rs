//! What the module remembers between calls: its sessions and the application's login.

use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki_sys::*;
use hsm_sim::wire::{Secret, UserType};

use crate::connection::Session;
use crate::endpoint::Endpoint;

/// A login all sessions share. The PIN is kept to log in sessions opened later.
#[derive(Clone)]
pub struct Login {
    /// The number of the login, different for each; never 0.
    pub epoch: u64,
    /// Who is logged in.
    pub user: UserType,
    /// The PIN. Its memory is wiped when this is dropped.
    pub pin: Secret,
}

/// Everything between `C_Initialize` and `C_Finalize`.
pub struct State {
    /// Where the daemon listens.
    pub daemon: Endpoint,
    /// Open sessions by the module's handle.
    pub sessions: HashMap<u64, Arc<Session>>,
    /// Who is logged in, if anyone.
    pub login: Option<Login>,
    /// Last number given out, for handles and epochs.
    counter: u64,
}

/// One process's state. `None` outside of `C_Initialize` and `C_Finalize`.
struct Process {
    pid: u32,
    /// Never held while talking to the daemon: a call that hangs must not block the others.
    state: Mutex<Option<State>>,
}

/// The state of the process that asked last. A forked child finds its parent's here, whose lock a
/// thread may hold that does not exist in the child: the child gets a state of its own.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

fn process() -> &'static Process {
    let pid = std::process::id();
    loop {
        let current = PROCESS.load(Ordering::Acquire);
        // SAFETY: null, or published below and never freed.
        let known = unsafe { current.as_ref() };
        if let Some(known) = known.filter(|known| known.pid == pid) {
            return known;
        }
        let state = Mutex::new(None);
        let fresh = Box::into_raw(Box::new(Process { pid, state }));
        let swapped = PROCESS.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            // SAFETY: made above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(fresh) });
        } else if let Some(parent) = known {
            // Closes our copies of the parent's sockets and wipes its PIN, if no thread was at it.
            let left = parent.state.try_lock().ok().and_then(|mut it| it.take());
            drop(left);
        }
    }
}

/// Locks, whatever happened to the last holder: nothing is left half changed by a panic.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the module in this process.
pub fn initialise(daemon: Endpoint) -> Result<(), CK_RV> {
    let mut state = lock(&process().state);
    if state.is_some() {
        return Err(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }
    *state = Some(State {
        daemon,
        sessions: HashMap::new(),
        login: None,
        counter: 0,
    });
    Ok(())
}

/// Stops the module and ends all its connections.
pub fn finalise() -> Result<(), CK_RV> {
    with(|state| state.close_all())?;
    *lock(&process().state) = None;
    Ok(())
}

/// Works on the state, if there is one.
pub fn with<T>(work: impl FnOnce(&mut State) -> T) -> Result<T, CK_RV> {
    lock(&process().state)
        .as_mut()
        .map(work)
        .ok_or(CKR_CRYPTOKI_NOT_INITIALIZED)
}

/// The session behind a handle; one whose connection broke is gone.
pub fn session(handle: u64) -> Result<Arc<Session>, CK_RV> {
    with(|state| {
        let session = state.sessions.get(&handle).cloned();
        match session {
            Some(session) if session.is_broken() => {
                state.sessions.remove(&handle);
                Err(CKR_SESSION_HANDLE_INVALID)
            }
            found => found.ok_or(CKR_SESSION_HANDLE_INVALID),
        }
    })?
}

impl State {
    /// A number not used before.
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Gives a session its handle.
    pub fn insert(&mut self, session: Session) -> u64 {
        let handle = self.next();
        self.sessions.insert(handle, Arc::new(session));
        handle
    }

    /// Remembers who logged in and returns the login's epoch.
    pub fn set_login(&mut self, user: UserType, pin: Secret) -> u64 {
        let epoch = self.next();
        self.login = Some(Login { epoch, user, pin });
        epoch
    }

    /// Forgets a login the daemon no longer accepts, unless a newer one took its place.
    pub fn forget(&mut self, epoch: u64) {
        self.login.take_if(|login| login.epoch == epoch);
    }

    /// A login ends with its last session, and with the daemon that knew of it.
    pub fn prune(&mut self) {
        self.sessions.retain(|_, session| session.is_alive());
        if self.sessions.is_empty() {
            self.login = None;
        }
    }

    /// Whether this user is the one logged in.
    pub fn is_logged_in(&self, user: UserType) -> bool {
        self.login.as_ref().is_some_and(|login| login.user == user)
    }

    /// Ends every connection, also those in the middle of a call.
    pub fn close_all(&mut self) {
        for (_, session) in self.sessions.drain() {
            session.shutdown();
        }
        self.login = None;
    }
}
