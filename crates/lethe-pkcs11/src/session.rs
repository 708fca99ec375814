use std::sync::atomic::{AtomicU64, Ordering};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use lethe_core::ports::HsmError;
use parking_lot::Mutex;

use crate::config::Pkcs11Config;
use crate::errors::{self, Failure, Meaning};
use crate::room::Room;

/// The loaded module and what all sessions share.
pub(crate) struct Device {
    pub(crate) config: Pkcs11Config,
    module: Pkcs11,
    /// Why the PIN was refused. Locked around `C_Login`, so that a wrong PIN is tried once and
    /// not once per thread.
    pin_refused: Mutex<Option<String>>,
    generation: AtomicU64,
    pub(crate) room: Room,
}

impl Device {
    /// Loads the module, and makes sure of token, PIN and mechanisms.
    pub(crate) fn open(config: Pkcs11Config) -> Result<Self, Failure> {
        let module = Pkcs11::new(&config.module)?;
        // Never unloaded: a worker that drops the last handle while the process exits would run the
        // module's destructors beside the exit itself, and SoftHSM2 then spins for ever.
        std::mem::forget(module.clone());
        let device = Self {
            config,
            module,
            pin_refused: Mutex::new(None),
            generation: AtomicU64::new(0),
            room: Room::default(),
        };
        device.initialize()?;
        let session = device.session()?;
        let offered = device.module.get_mechanism_list(device.slot()?.0)?;
        for needed in [MechanismType::AES_KEY_GEN, MechanismType::AES_GCM] {
            if !offered.contains(&needed) {
                return Err(HsmError::Device(format!("the token does not offer {needed}")).into());
            }
        }
        session.close()?;
        Ok(device)
    }

    fn initialize(&self) -> Result<(), Error> {
        match self
            .module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        {
            // Another adapter in this process has initialised the module.
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            other => other,
        }
    }

    /// Counts the times that sessions were found dead.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Declares all sessions of a generation dead.
    pub(crate) fn sessions_lost(&self, generation: u64) {
        // Failing means that another thread declared it before.
        let _ = self.generation.compare_exchange(
            generation,
            generation + 1,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
    }

    /// The slot that holds the token now: it may change when the device restarts.
    pub(crate) fn slot(&self) -> Result<(Slot, TokenInfo), Failure> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for slot in self.module.get_slots_with_token()? {
            match self.module.get_token_info(slot) {
                Ok(info) if self.config.token.fits(slot, &info) => found.push((slot, info)),
                Ok(info) if info.token_initialized() => others.push(format!("{:?}", info.label())),
                Ok(_) => {}
                // Another token of the device may be broken; ours then is not found.
                Err(error) if errors::meaning(&error) == Meaning::Lost => {}
                Err(error) => return Err(error.into()),
            }
        }
        let wanted = &self.config.token;
        match (found.pop(), found.is_empty()) {
            (Some(token), true) => Ok(token),
            (Some(_), false) => Err(HsmError::Device(format!(
                "there is more than one token {wanted}: name its serial number or slot"
            ))
            .into()),
            (None, _) if others.is_empty() => {
                Err(HsmError::Unavailable("the device cannot be reached".into()).into())
            }
            (None, _) => Err(HsmError::Unavailable(format!(
                "its module shows no token {wanted}, but {}",
                others.join(", ")
            ))
            .into()),
        }
    }

    /// A session that is logged in. It is not closed on drop: a dead handle may already be the
    /// number of another thread's new session.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        self.refuse_known_bad_pin()?;
        let slot = match self.slot() {
            Err(Failure::Module(Error::Pkcs11(RvError::CryptokiNotInitialized, _))) => {
                self.initialize()?;
                self.slot()?.0
            }
            other => other?.0,
        };
        let session = self.module.open_rw_session_no_drop(slot)?;
        match self.log_in(slot, &session) {
            Ok(()) => Ok(session),
            Err(failure) => {
                // The login's failure matters, not this one's.
                let _ = session.close();
                Err(failure)
            }
        }
    }

    fn refuse_known_bad_pin(&self) -> Result<(), Failure> {
        let refused = self.gate()?;
        refused
            .as_ref()
            .map_or(Ok(()), |why| Err(HsmError::Pin(why.clone()).into()))
    }

    /// A login that hangs must not hang the others for ever.
    fn gate(&self) -> Result<parking_lot::MutexGuard<'_, Option<String>>, Failure> {
        self.pin_refused
            .try_lock_for(self.config.call_timeout)
            .ok_or_else(|| HsmError::Unavailable("a login hangs".into()).into())
    }

    fn log_in(&self, slot: Slot, session: &Session) -> Result<(), Failure> {
        let mut refused = self.gate()?;
        if let Some(why) = refused.as_ref() {
            return Err(HsmError::Pin(why.clone()).into());
        }
        // Login is per application: another session may have done it.
        if session.get_session_info()?.session_state() == SessionState::RwUser {
            return Ok(());
        }
        self.ensure_tries_left(slot)?;
        match session.login(UserType::User, Some(self.config.pin.auth())) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => match errors::to_hsm_error(&error) {
                HsmError::Pin(why) => {
                    let why = format!("{why}. It is not tried again: each wrong PIN counts");
                    *refused = Some(why.clone());
                    Err(HsmError::Pin(why).into())
                }
                _ => Err(error.into()),
            },
        }
    }

    /// The last try before the token locks is left to a person: on some devices a locked token loses
    /// its keys. This is not remembered, because an administrator may reset the counter meanwhile.
    fn ensure_tries_left(&self, slot: Slot) -> Result<(), Failure> {
        let token = self.module.get_token_info(slot)?;
        let why = if token.user_pin_locked() {
            "it is locked after too many wrong ones: the security officer has to set it anew"
        } else if token.user_pin_final_try() && !self.config.last_pin_try {
            "one more wrong one would lock it, so it was not tried: make sure that the file holds \
             the right one, then run `lethe init --last-pin-try`"
        } else {
            return Ok(());
        };
        Err(HsmError::Pin(why.into()).into())
    }
}
