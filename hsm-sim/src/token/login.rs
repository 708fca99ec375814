//! PINs and sessions: the calls of PKCS#11's chapters on slots, tokens and sessions.

use super::Token;
use super::pin::Pin;
use crate::constants::*;
use crate::faults::Fault;
use crate::storage::Storage;
use crate::wire::{Answer, Response, Secret, UserType};

impl Token {
    pub(super) fn init_token(&mut self, so_pin: &Secret, label: String) -> Response {
        if self.sessions.count() > 0 {
            return Err(CKR_SESSION_EXISTS);
        }
        if label.len() > 32 {
            return Err(CKR_ARGUMENTS_BAD);
        }
        self.check_pin(UserType::SecurityOfficer, so_pin)?;
        let state = self.state_mut()?;
        state.header.label = label;
        state.header.user_pin = None;
        state.objects.clear();
        self.commit(Storage::clear).map(|()| Answer::Done)
    }

    pub(super) fn init_pin(&mut self, connection: u64, session: u64, pin: &Secret) -> Response {
        self.sessions.get(connection, session)?;
        if self.sessions.login(connection) != Some(UserType::SecurityOfficer) {
            return Err(CKR_USER_NOT_LOGGED_IN);
        }
        self.state_mut()?.header.user_pin = Some(Pin::new(&pin.0)?);
        self.commit(Storage::save_header).map(|()| Answer::Done)
    }

    pub(super) fn set_pin(
        &mut self,
        connection: u64,
        session: u64,
        old: &Secret,
        new: &Secret,
    ) -> Response {
        if !self.sessions.get(connection, session)?.read_write {
            return Err(CKR_SESSION_READ_ONLY);
        }
        let user = self.sessions.login(connection).unwrap_or(UserType::User);
        self.check_pin(user, old)?;
        let pin = Pin::new(&new.0)?;
        let header = &mut self.state_mut()?.header;
        match user {
            UserType::SecurityOfficer => header.so_pin = pin,
            UserType::User => header.user_pin = Some(pin),
        }
        self.commit(Storage::save_header).map(|()| Answer::Done)
    }

    pub(super) fn log_in(
        &mut self,
        connection: u64,
        session: u64,
        user: UserType,
        pin: &Secret,
    ) -> Response {
        self.sessions.get(connection, session)?;
        self.sessions.may_log_in(connection, user)?;
        self.check_pin(user, pin)?;
        self.sessions.log_in(connection, user);
        Ok(Answer::Done)
    }

    pub(super) fn log_out(&mut self, connection: u64, session: u64) -> Response {
        self.sessions.get(connection, session)?;
        self.sessions.log_out(connection)?;
        // As PKCS#11 says: private session objects end with the login.
        self.session_objects
            .retain(|_, it| it.connection != connection || !it.object.is_private());
        Ok(Answer::Done)
    }

    pub(super) fn close_session(&mut self, connection: u64, session: u64) -> Response {
        self.sessions.close(connection, session)?;
        self.session_objects.retain(|_, it| it.session != session);
        Ok(Answer::Done)
    }

    pub(super) fn session_info(&self, connection: u64, session: u64) -> Response {
        let session = self.sessions.get(connection, session)?;
        let flags = CKF_SERIAL_SESSION
            | if session.read_write {
                CKF_RW_SESSION
            } else {
                0
            };
        Ok(Answer::SessionInfo {
            state: self.sessions.state(session),
            flags,
        })
    }

    /// Checks a PIN; the count of wrong tries is durable before the answer.
    fn check_pin(&mut self, user: UserType, given: &Secret) -> Result<(), u64> {
        if self.faults.get(Fault::PinLocked).is_some() {
            return Err(CKR_PIN_LOCKED);
        }
        let header = &mut self.state_mut()?.header;
        let pin = match user {
            UserType::SecurityOfficer => &mut header.so_pin,
            UserType::User => header
                .user_pin
                .as_mut()
                .ok_or(CKR_USER_PIN_NOT_INITIALIZED)?,
        };
        let before = pin.tries();
        let verdict = pin.check(&given.0);
        if pin.tries() != before {
            self.commit(Storage::save_header)?;
        }
        verdict
    }
}
