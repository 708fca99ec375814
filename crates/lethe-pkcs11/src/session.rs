use std::sync::atomic::{AtomicU64, Ordering};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
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
            // Another adapter in this process did it.
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
        for slot in self.module.get_slots_with_token()? {
            match self.module.get_token_info(slot) {
                Ok(info) if info.label() == self.config.token_label => return Ok((slot, info)),
                Ok(_) => {}
                // Another token of the device may be broken; ours then is not found.
                Err(error) if errors::meaning(&error) == Meaning::Lost => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HsmError::Unavailable(format!("no token {:?}", self.config.token_label)).into())
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
        match self.log_in(&session) {
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

    fn log_in(&self, session: &Session) -> Result<(), Failure> {
        let mut refused = self.gate()?;
        if let Some(why) = refused.as_ref() {
            return Err(HsmError::Pin(why.clone()).into());
        }
        match session.login(UserType::User, Some(self.config.pin.auth())) {
            // Login is per application: another session did it.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => {
                let answer = errors::to_hsm_error(&error);
                if let HsmError::Pin(why) = &answer {
                    *refused = Some(why.clone());
                }
                Err(error.into())
            }
        }
    }
}
