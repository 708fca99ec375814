//! A session: its connection, its login as the daemon sees it, its running operations.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Request, Response, Secret, UserType};

use crate::cipher::Operations;
use crate::client::unexpected;
use crate::endpoint::Endpoint;
use crate::state::{self, lock};
use crate::transport::Transport;

/// One session on a connection of its own, so that a call that hangs blocks no other session.
pub struct Session {
    transport: Transport,
    /// Guards the transport for one exchange; holds the epoch of the login the daemon knows, or 0.
    login: Mutex<u64>,
    broken: AtomicBool,
    /// The daemon's handle of this session.
    pub remote: u64,
    /// Whether the session may write (`CKF_RW_SESSION`).
    pub read_write: bool,
    /// The state of operations that take several calls.
    pub operations: Mutex<Operations>,
}

impl Session {
    /// Connects and opens a session.
    pub fn open(daemon: &Endpoint, read_write: bool) -> Result<Self, CK_RV> {
        let transport = daemon.connect().map_err(|_| CKR_TOKEN_NOT_PRESENT)?;
        let answer = transport.exchange(&Request::OpenSession { read_write });
        let remote = match answer.map_err(|_| CKR_DEVICE_REMOVED)?? {
            Answer::Session(remote) => remote,
            other => return unexpected(other),
        };
        Ok(Self {
            transport,
            login: Mutex::new(0),
            broken: AtomicBool::new(false),
            remote,
            read_write,
            operations: Mutex::default(),
        })
    }

    /// Makes a call in this session, logged in if the application is.
    pub fn call(&self, request: &Request) -> Result<Answer, CK_RV> {
        // What was read ahead may change by any other call.
        lock(&self.operations).ahead = None;
        let mut known = lock(&self.login);
        self.follow_login(&mut known)?;
        self.exchange(request)?
    }

    /// A call that answers nothing.
    pub fn run(&self, request: &Request) -> Result<(), CK_RV> {
        match self.call(request)? {
            Answer::Done => Ok(()),
            other => unexpected(other),
        }
    }

    /// `C_Login`: what holds here holds for every session of the application.
    pub fn log_in(&self, user: UserType, pin: Secret) -> Result<(), CK_RV> {
        let mut known = lock(&self.login);
        self.follow_login(&mut known)?;
        self.exchange(&self.login_request(user, pin.clone()))??;
        *known = state::with(|state| state.set_login(user, pin))?;
        Ok(())
    }

    /// `C_Logout`, here; the other sessions follow.
    pub fn log_out(&self) -> Result<(), CK_RV> {
        let mut known = lock(&self.login);
        self.follow_login(&mut known)?;
        self.exchange(&Request::Logout {
            session: self.remote,
        })??;
        *known = 0;
        state::with(|state| state.login = None)
    }

    /// Brings an idle session's login up to date; a busy one does so before its next call.
    pub fn follow_if_idle(&self) {
        if let Ok(mut known) = self.login.try_lock() {
            // A failure marks the session broken: its next call reports it.
            let _ = self.follow_login(&mut known);
        }
    }

    fn follow_login(&self, known: &mut u64) -> Result<(), CK_RV> {
        let wanted = state::with(|state| state.login.clone())?;
        if wanted.as_ref().map_or(0, |login| login.epoch) == *known {
            return Ok(());
        }
        if *known != 0 {
            // Whatever it answers, the daemon holds no login for us afterwards.
            let _ = self.exchange(&Request::Logout {
                session: self.remote,
            })?;
            *known = 0;
        }
        let Some(login) = wanted else { return Ok(()) };
        match self.exchange(&self.login_request(login.user, login.pin.clone()))? {
            Ok(_) | Err(CKR_USER_ALREADY_LOGGED_IN) => *known = login.epoch,
            // Trying the same PIN again in every session would lock the token.
            Err(_) => state::with(|state| state.forget(login.epoch))?,
        }
        Ok(())
    }

    fn login_request(&self, user: UserType, pin: Secret) -> Request {
        Request::Login {
            session: self.remote,
            user,
            pin,
        }
    }

    fn exchange(&self, request: &Request) -> Result<Response, CK_RV> {
        if self.is_broken() {
            return Err(CKR_DEVICE_REMOVED);
        }
        self.transport.exchange(request).map_err(|_| {
            // Half a frame may be under way: this connection cannot be used again.
            self.shutdown();
            CKR_DEVICE_REMOVED
        })
    }

    /// Whether the connection failed.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether the daemon is still there; a session in the middle of a call counts as alive.
    pub fn is_alive(&self) -> bool {
        let Ok(_idle) = self.login.try_lock() else {
            return true;
        };
        !self.is_broken() && self.transport.is_open()
    }

    /// Closes the session at the daemon, unless a call is under way, and ends the connection.
    pub fn close(&self) {
        if let Ok(_idle) = self.login.try_lock() {
            let _ = self.exchange(&Request::CloseSession {
                session: self.remote,
            });
        }
        self.shutdown();
    }

    /// Ends the connection: the daemon closes the session, and a call under way fails.
    pub fn shutdown(&self) {
        self.broken.store(true, Ordering::Release);
        self.transport.shutdown();
    }
}
