//! Sessions, and who is logged in on which connection (PKCS#11's "application").

use std::collections::BTreeMap;

use crate::constants::*;
use crate::wire::UserType;

/// A session of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Session {
    pub(crate) connection: u64,
    pub(crate) read_write: bool,
    /// Drawn by the device for the encryption begun here.
    pub(crate) iv: Option<[u8; 12]>,
}

/// All sessions of all connections.
#[derive(Default)]
pub(crate) struct Sessions {
    open: BTreeMap<u64, Session>,
    logins: BTreeMap<u64, UserType>,
    last: u64,
}

impl Sessions {
    pub(crate) fn open(&mut self, connection: u64, read_write: bool) -> Result<u64, u64> {
        if !read_write && self.login(connection) == Some(UserType::SecurityOfficer) {
            return Err(CKR_SESSION_READ_WRITE_SO_EXISTS);
        }
        self.last += 1;
        self.open.insert(
            self.last,
            Session {
                connection,
                read_write,
                iv: None,
            },
        );
        Ok(self.last)
    }

    pub(crate) fn get(&self, connection: u64, handle: u64) -> Result<Session, u64> {
        let session = self
            .open
            .get(&handle)
            .filter(|session| session.connection == connection);
        session.copied().ok_or(CKR_SESSION_HANDLE_INVALID)
    }

    pub(crate) fn set_iv(
        &mut self,
        connection: u64,
        handle: u64,
        iv: Option<[u8; 12]>,
    ) -> Result<(), u64> {
        self.get(connection, handle)?;
        let session = self.open.get_mut(&handle);
        session.ok_or(CKR_SESSION_HANDLE_INVALID)?.iv = iv;
        Ok(())
    }

    /// Closes one session; the connection's last one takes the login along.
    pub(crate) fn close(&mut self, connection: u64, handle: u64) -> Result<(), u64> {
        self.get(connection, handle)?;
        self.open.remove(&handle);
        if !self
            .open
            .values()
            .any(|session| session.connection == connection)
        {
            self.logins.remove(&connection);
        }
        Ok(())
    }

    pub(crate) fn close_all(&mut self, connection: u64) {
        self.open
            .retain(|_, session| session.connection != connection);
        self.logins.remove(&connection);
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.logins.clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn login(&self, connection: u64) -> Option<UserType> {
        self.logins.get(&connection).copied()
    }

    /// Whether `user` could log in now, were the PIN right.
    pub(crate) fn may_log_in(&self, connection: u64, user: UserType) -> Result<(), u64> {
        let read_only = |session: &Session| session.connection == connection && !session.read_write;
        match self.login(connection) {
            Some(other) if other == user => Err(CKR_USER_ALREADY_LOGGED_IN),
            Some(_) => Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
            None if user == UserType::SecurityOfficer && self.open.values().any(read_only) => {
                Err(CKR_SESSION_READ_ONLY_EXISTS)
            }
            None => Ok(()),
        }
    }

    pub(crate) fn log_in(&mut self, connection: u64, user: UserType) {
        self.logins.insert(connection, user);
    }

    pub(crate) fn log_out(&mut self, connection: u64) -> Result<(), u64> {
        self.logins
            .remove(&connection)
            .map(|_| ())
            .ok_or(CKR_USER_NOT_LOGGED_IN)
    }

    /// `CKS_*` of a session.
    pub(crate) fn state(&self, session: Session) -> u64 {
        match (self.login(session.connection), session.read_write) {
            (Some(UserType::SecurityOfficer), _) => CKS_RW_SO_FUNCTIONS,
            (Some(UserType::User), true) => CKS_RW_USER_FUNCTIONS,
            (Some(UserType::User), false) => CKS_RO_USER_FUNCTIONS,
            (None, true) => CKS_RW_PUBLIC_SESSION,
            (None, false) => CKS_RO_PUBLIC_SESSION,
        }
    }
}
