use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

/// A user PIN: wiped on drop, never shown.
#[derive(Clone)]
pub struct Pin(AuthPin);

impl Pin {
    /// Takes the PIN over.
    #[must_use]
    pub fn new(pin: String) -> Self {
        Self(AuthPin::new(pin.into()))
    }

    pub(crate) fn auth(&self) -> &AuthPin {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Who chooses the IV of AES-GCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IvSource {
    /// This adapter draws 12 random bytes.
    Caller,
    /// The device, which writes it back into the mechanism parameter.
    Device,
}

/// Which of a module's tokens: all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSelector {
    /// The token's label.
    pub label: String,
    /// The token's serial number, needed if several tokens have the label.
    pub serial: Option<String>,
    /// The id of the token's slot, needed if several tokens have the label.
    pub slot: Option<u64>,
}

impl TokenSelector {
    pub(crate) fn fits(&self, slot: Slot, token: &TokenInfo) -> bool {
        self.label == token.label()
            && self.slot.is_none_or(|id| id == slot.id())
            && self
                .serial
                .as_deref()
                .is_none_or(|it| it == token.serial_number())
    }
}

impl From<&str> for TokenSelector {
    fn from(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            serial: None,
            slot: None,
        }
    }
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.label)?;
        if let Some(serial) = &self.serial {
            write!(f, " with serial number {serial:?}")?;
        }
        self.slot
            .map_or(Ok(()), |slot| write!(f, " in slot {slot}"))
    }
}

/// Where the HSM is and how to speak to it.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// The token.
    pub token: TokenSelector,
    /// The user PIN of the token.
    pub pin: Pin,
    /// Logs in even when the token says that one more wrong PIN locks it.
    pub last_pin_try: bool,
    /// Who chooses the IV of each encryption.
    pub iv: IvSource,
    /// How long a call may take before it counts as failed.
    pub call_timeout: Duration,
    /// Number of threads, each with one session.
    pub threads: usize,
    /// Creating another object beyond this many on the token is refused.
    pub max_objects: u64,
}
