use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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
    /// This adapter, 12 random bytes.
    Caller,
    /// The device, which writes it back into the mechanism parameter.
    Device,
}

/// Where the HSM is and how to speak to it.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// Label of the token.
    pub token_label: String,
    /// User PIN of the token.
    pub pin: Pin,
    /// Who chooses IVs.
    pub iv: IvSource,
    /// How long a caller waits for an answer.
    pub call_timeout: Duration,
    /// Threads, each with one session.
    pub threads: usize,
    /// Creating another object beyond this many on the token is refused.
    pub max_objects: u64,
}
