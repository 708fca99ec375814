use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lethe_pkcs11::{IvSource, Pin, Pkcs11Config, TokenSelector};
use serde::Deserialize;

use super::{ConfigError, secret};

/// `[hsm]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HsmSection {
    /// Path of the PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Serial number of the token, needed if several tokens have this label.
    pub serial: Option<String>,
    /// Id of the token's slot, needed if several tokens have this label.
    pub slot: Option<u64>,
    /// Path of the file with the user PIN.
    pub pin_file: PathBuf,
    /// Who chooses the IV of each AES-GCM encryption.
    #[serde(default)]
    pub iv: Iv,
    /// How long a call of the HSM may take before it counts as failed.
    #[serde(
        default = "call_timeout",
        deserialize_with = "super::span::deserialize"
    )]
    pub call_timeout: Duration,
    /// How long keys are served while the HSM does not answer; for ever when it is not given.
    #[serde(default, deserialize_with = "super::span::deserialize_given")]
    pub max_outage: Option<Duration>,
    /// Number of PKCS#11 sessions, each on a thread of its own.
    #[serde(default = "threads")]
    pub threads: usize,
    /// Number of objects that the token may hold. A keyspace whose buckets would not fit is refused.
    #[serde(default = "max_objects")]
    pub max_objects: u64,
    /// Environment variables that the module reads.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// `hsm.iv`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Iv {
    /// Lethe draws them.
    #[default]
    Caller,
    /// The device draws them.
    Device,
}

const fn call_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn threads() -> usize {
    4
}

const fn max_objects() -> u64 {
    20_000
}

impl HsmSection {
    /// Checks the options. `section` is the name of the section, for errors.
    pub(super) fn check(&self, section: &str) -> Result<(), String> {
        if !(1..=64).contains(&self.threads) {
            return Err(format!("{section}.threads must be 1 to 64"));
        }
        // PKCS#11 pads labels to 32 bytes.
        if !(1..=32).contains(&self.token.len()) {
            return Err(format!("{section}.token must be 1 to 32 bytes"));
        }
        // PKCS#11 pads serial numbers to 16 bytes.
        let serial = self.serial.as_ref().map_or(1, String::len);
        if !(1..=16).contains(&serial) {
            return Err(format!("{section}.serial must be 1 to 16 bytes"));
        }
        if self.max_objects == 0 {
            return Err(format!("{section}.max_objects must be at least 1"));
        }
        let named = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        if !self.environment.keys().all(named) {
            return Err(format!(
                "{section}.environment has a name that no variable can have"
            ));
        }
        if self
            .max_outage
            .is_some_and(|it| it < Duration::from_secs(1))
        {
            return Err(format!("{section}.max_outage must be at least 1s"));
        }
        super::span::check(&format!("{section}.call_timeout"), self.call_timeout)
    }

    /// The modules of both sections are loaded into one process, so their variables must agree.
    pub(super) fn check_beside(&self, next: &Self) -> Result<(), String> {
        if (&self.module, self.selector()) == (&next.module, next.selector()) {
            return Err("hsm_next names the module and token of hsm".into());
        }
        let differs = |(name, value): (&String, &String)| {
            next.environment
                .get(name)
                .is_some_and(|other| other != value)
        };
        if self.environment.iter().any(differs) {
            return Err(
                "hsm.environment and hsm_next.environment give a variable two values".into(),
            );
        }
        Ok(())
    }

    /// How the token is found among those of the module.
    #[must_use]
    pub fn selector(&self) -> TokenSelector {
        TokenSelector {
            label: self.token.clone(),
            serial: self.serial.clone(),
            slot: self.slot,
        }
    }

    /// The settings for the adapter. Reads the PIN.
    ///
    /// # Errors
    /// [`ConfigError`] when the PIN file cannot be read, is empty, or everybody may read it.
    pub fn pkcs11(&self) -> Result<Pkcs11Config, ConfigError> {
        let pin = Pin::new(secret(&self.pin_file, "PIN")?);
        Ok(Pkcs11Config {
            module: self.module.clone(),
            token: self.selector(),
            pin,
            last_pin_try: false,
            iv: match self.iv {
                Iv::Caller => IvSource::Caller,
                Iv::Device => IvSource::Device,
            },
            call_timeout: self.call_timeout,
            threads: self.threads,
            max_objects: self.max_objects,
        })
    }
}
