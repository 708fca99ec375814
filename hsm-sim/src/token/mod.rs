//! The token: answers the calls of [`crate::wire`].

pub mod create;
pub mod crypto;
mod iv;
mod login;
pub mod object;
mod objects;
pub mod pin;
mod session;
pub mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::{fmt::Write as _, io};

use aws_lc_rs::rand;

use crate::constants::*;
use crate::faults::{Fault, Faults};
use crate::storage::{Header, State, Storage};
use crate::wire::{Answer, Attribute, Request, Response, Secret, TokenInfo};
use object::Object;
use pin::Pin;
use session::Sessions;
use template::flag;

/// Token objects a token holds unless a fault says otherwise.
pub const MAX_OBJECTS: u64 = 10_000;

/// Who chooses the IV of AES-GCM encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum IvSource {
    /// The caller, as PKCS#11 has it.
    Caller,
    /// The device: the caller passes 12 zero bytes, into which `C_EncryptInit` writes.
    Device,
}

/// A token with its store, its sessions and its faults.
pub struct Token {
    storage: Storage,
    /// `None` after tampering, or when a commit failed and nobody knows what is durable.
    state: Option<State>,
    /// Of the next token object: never used twice, also not after a restart.
    next_handle: u64,
    sessions: Sessions,
    session_objects: BTreeMap<u64, SessionObject>,
    last_session_object: u64,
    committed: bool,
    iv: IvSource,
    faults: Arc<Faults>,
}

/// An object that ends with its session.
struct SessionObject {
    connection: u64,
    session: u64,
    object: Object,
}

/// Initialises a token in a new directory.
///
/// # Errors
/// When one is there, a PIN has a bad length, or the file system refuses.
pub fn initialise(dir: &Path, label: &str, so_pin: &[u8], user_pin: &[u8]) -> io::Result<()> {
    let pin = |pin| Pin::new(pin).map_err(|_| io::Error::other("a PIN has 4 to 255 bytes"));
    if label.len() > 32 {
        return Err(io::Error::other("a label has at most 32 bytes"));
    }
    let mut serial = [0; 8];
    rand::fill(&mut serial).map_err(|_| io::Error::other("no randomness"))?;
    let header = Header {
        label: label.to_owned(),
        serial: hex(&serial),
        so_pin: pin(so_pin)?,
        user_pin: Some(pin(user_pin)?),
        handles_end: 1,
    };
    let objects = BTreeMap::new();
    Storage::create(dir, &State { header, objects }).map(drop)
}

impl Token {
    /// Opens the token of a directory.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn open(dir: &Path, faults: Arc<Faults>, iv: IvSource) -> io::Result<Self> {
        let (storage, state) = Storage::open(dir)?;
        let next_handle = state.as_ref().map_or(1, |state| state.header.handles_end);
        Ok(Self {
            storage,
            state,
            next_handle,
            sessions: Sessions::default(),
            session_objects: BTreeMap::new(),
            last_session_object: 0,
            committed: false,
            iv,
            faults,
        })
    }

    /// Answers one call of a connection.
    ///
    /// # Errors
    /// The call's `CK_RV`.
    pub fn handle(&mut self, connection: u64, request: Request) -> Response {
        if self.faults.get(Fault::DeviceRemoved).is_some() {
            return Err(CKR_DEVICE_REMOVED);
        }
        if self.faults.take(Fault::SessionsLost).is_some() {
            self.sessions.clear();
            self.session_objects.clear();
        }
        self.state()?;
        self.dispatch(connection, request)
    }

    fn dispatch(&mut self, c: u64, request: Request) -> Response {
        match request {
            Request::TokenInfo => self.info().map(Answer::Token),
            Request::InitToken { so_pin, label } => self.init_token(&so_pin, label),
            Request::InitPin { session, pin } => self.init_pin(c, session, &pin),
            Request::SetPin { session, old, new } => self.set_pin(c, session, &old, &new),
            Request::OpenSession { read_write } => {
                self.sessions.open(c, read_write).map(Answer::Session)
            }
            Request::CloseSession { session } => self.close_session(c, session),
            Request::CloseAllSessions => {
                self.disconnect(c);
                Ok(Answer::Done)
            }
            Request::SessionInfo { session } => self.session_info(c, session),
            Request::Login { session, user, pin } => self.log_in(c, session, user, &pin),
            Request::Logout { session } => self.log_out(c, session),
            Request::CreateObject { session, template } => {
                self.sessions.get(c, session)?;
                let template = self.heeded(template);
                let handles = self.add(c, session, vec![create::import(&template)?])?;
                Ok(Answer::Object(handles[0]))
            }
            Request::DestroyObject { session, object } => self.destroy(c, session, object),
            Request::AttributeValues {
                session,
                object,
                kinds,
            } => {
                let object = self.find(c, session, object, CKR_OBJECT_HANDLE_INVALID)?;
                Ok(Answer::Attributes(
                    kinds.iter().map(|kind| object.reveal(*kind)).collect(),
                ))
            }
            Request::SetAttributes {
                session,
                object,
                template,
            } => self.change(c, session, object, &template),
            Request::FindObjects { session, template } => self.search(c, session, &template),
            Request::GenerateKey {
                session,
                mechanism,
                template,
            } => {
                self.sessions.get(c, session)?;
                let template = self.heeded(template);
                let handles = self.add(c, session, vec![create::aes(&mechanism, &template)?])?;
                Ok(Answer::Object(handles[0]))
            }
            Request::GenerateKeyPair {
                session,
                mechanism,
                public,
                private,
            } => {
                self.sessions.get(c, session)?;
                let (public, private) = (self.heeded(public), self.heeded(private));
                let (public, private) = create::ed25519(&mechanism, &public, &private)?;
                let handles = self.add(c, session, vec![public, private])?;
                Ok(Answer::KeyPair(handles[0], handles[1]))
            }
            Request::Encrypt {
                session,
                mechanism,
                key,
                data,
            } => {
                self.use_iv(c, session, &mechanism)?;
                let key = self.find(c, session, key, CKR_KEY_HANDLE_INVALID)?;
                crypto::encrypt(key, &mechanism, &data)
                    .map(Secret)
                    .map(Answer::Data)
            }
            Request::Decrypt {
                session,
                mechanism,
                key,
                data,
            } => {
                let key = self.find(c, session, key, CKR_KEY_HANDLE_INVALID)?;
                crypto::decrypt(key, &mechanism, data).map(Answer::Data)
            }
            Request::CheckKey {
                session,
                mechanism,
                key,
                operation,
            } => {
                let key = self.find(c, session, key, CKR_KEY_HANDLE_INVALID)?;
                crypto::check(key, &mechanism, operation)?;
                self.draw_iv(c, session, &mechanism, operation)
            }
            Request::Sign {
                session,
                mechanism,
                key,
                data,
            } => {
                let key = self.find(c, session, key, CKR_KEY_HANDLE_INVALID)?;
                crypto::sign(key, &mechanism, &data)
                    .map(Secret)
                    .map(Answer::Data)
            }
            Request::Verify {
                session,
                mechanism,
                key,
                data,
                signature,
            } => {
                let key = self.find(c, session, key, CKR_KEY_HANDLE_INVALID)?;
                crypto::verify(key, &mechanism, &data, &signature).map(|()| Answer::Done)
            }
            Request::Random { session, length } => self.random(c, session, length),
        }
    }

    /// What of a template is heeded.
    fn heeded(&self, mut template: Vec<Attribute>) -> Vec<Attribute> {
        let Some(which) = self.faults.get(Fault::IgnoreTemplate) else {
            return template;
        };
        let all = which == 1;
        for attribute in template.iter_mut().filter(|it| all || it.kind == which) {
            match attribute.kind {
                CKA_SENSITIVE => attribute.value = flag(false),
                CKA_EXTRACTABLE | CKA_MODIFIABLE | CKA_COPYABLE => attribute.value = flag(true),
                _ => {}
            }
        }
        template
    }

    fn random(&self, connection: u64, session: u64, length: u32) -> Response {
        self.sessions.get(connection, session)?;
        if length as usize > crate::wire::MAX_FRAME / 2 {
            return Err(CKR_ARGUMENTS_BAD);
        }
        let mut bytes = vec![0; length as usize];
        rand::fill(&mut bytes).map_err(|_| CKR_GENERAL_ERROR)?;
        Ok(Answer::Data(Secret(bytes)))
    }

    /// Ends a connection's sessions and their objects.
    pub fn disconnect(&mut self, connection: u64) {
        self.sessions.close_all(connection);
        self.session_objects
            .retain(|_, object| object.connection != connection);
    }

    /// Zeroizes the token, for good.
    ///
    /// # Errors
    /// When the file system refuses; the memory is wiped regardless.
    pub fn tamper(&mut self) -> io::Result<()> {
        self.state = None;
        self.sessions.clear();
        self.session_objects.clear();
        self.storage.tamper()
    }

    /// Whether a create or destroy became durable since the last question.
    pub fn take_committed(&mut self) -> bool {
        std::mem::take(&mut self.committed)
    }

    /// Whether the token was tampered with or broke down.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.state.is_none()
    }

    /// Open sessions of all connections.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }

    /// Token objects.
    #[must_use]
    pub fn object_count(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.objects.len())
    }

    fn state(&self) -> Result<&State, u64> {
        self.state.as_ref().ok_or(CKR_DEVICE_ERROR)
    }

    fn state_mut(&mut self) -> Result<&mut State, u64> {
        self.state.as_mut().ok_or(CKR_DEVICE_ERROR)
    }

    /// Makes a change of the state durable.
    fn commit(
        &mut self,
        change: impl FnOnce(&mut Storage, &State) -> io::Result<()>,
    ) -> Result<(), u64> {
        let state = self.state.as_ref().ok_or(CKR_DEVICE_ERROR)?;
        if change(&mut self.storage, state).is_ok() {
            return Ok(());
        }
        // Memory and disk may differ now: say nothing more until a restart reads the disk.
        self.state = None;
        Err(CKR_DEVICE_ERROR)
    }

    fn capacity(&self) -> u64 {
        self.faults.get(Fault::ObjectLimit).unwrap_or(MAX_OBJECTS)
    }

    /// What `CK_TOKEN_INFO` shows.
    ///
    /// # Errors
    /// `CKR_DEVICE_ERROR` for a broken token.
    pub fn info(&self) -> Result<TokenInfo, u64> {
        let state = self.state()?;
        let mut flags = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED;
        flags |= pin_flags(
            &state.header.so_pin,
            [
                CKF_SO_PIN_COUNT_LOW,
                CKF_SO_PIN_FINAL_TRY,
                CKF_SO_PIN_LOCKED,
            ],
        );
        if let Some(pin) = &state.header.user_pin {
            let kinds = [
                CKF_USER_PIN_COUNT_LOW,
                CKF_USER_PIN_FINAL_TRY,
                CKF_USER_PIN_LOCKED,
            ];
            flags |= CKF_USER_PIN_INITIALIZED | pin_flags(pin, kinds);
            if self.faults.get(Fault::PinLocked).is_some() {
                flags |= CKF_USER_PIN_LOCKED;
            }
        }
        let free_objects = self.capacity().saturating_sub(state.objects.len() as u64);
        Ok(TokenInfo {
            label: state.header.label.clone(),
            serial: state.header.serial.clone(),
            flags,
            free_objects,
        })
    }
}

/// What the token says of a PIN's count of wrong tries: some, all but one, all.
fn pin_flags(pin: &Pin, [some, all_but_one, all]: [u64; 3]) -> u64 {
    match pin.tries() {
        0 => 0,
        tries if tries >= pin::MAX_TRIES => some | all,
        tries if tries + 1 == pin::MAX_TRIES => some | all_but_one,
        _ => some,
    }
}

/// Bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
