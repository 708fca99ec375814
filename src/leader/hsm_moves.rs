//! The HSMs that the configuration names, and the progress of a move from one to the other.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::hsm_move::Opened;
use lethe_core::ports::{Hsm, HsmError};
use lethe_pkcs11::{Pkcs11Hsm, TokenSelector};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::config::{ConfigError, HsmSection};
use crate::observability::metrics::{MeteredHsm, Metrics};

/// The time between two tries to open an HSM that did not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// An HSM as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// The token in the module.
    pub token: TokenSelector,
}

impl From<&HsmSection> for DeviceName {
    fn from(section: &HsmSection) -> Self {
        Self {
            module: section.module.clone(),
            token: section.selector(),
        }
    }
}

/// In which HSM the deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveState {
    /// It is in the only HSM that the configuration names.
    Unconfigured,
    /// It is in `[hsm]`, and may move to `[hsm_next]`.
    Ready,
    /// It is moving from `[hsm]` to `[hsm_next]`.
    Moving,
    /// It is in `[hsm_next]`.
    Moved,
}

impl MoveState {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unconfigured => "unconfigured",
            Self::Ready => "ready",
            Self::Moving => "moving",
            Self::Moved => "moved",
        }
    }
}

/// The progress of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// In which HSM the deployment is.
    pub state: MoveState,
    /// The number of live buckets.
    pub buckets: usize,
    /// The number of buckets that have moved.
    pub moved: usize,
    /// Why the last step failed; none after a step that succeeded.
    pub trouble: Option<String>,
}

/// The second HSM of the configuration.
struct SecondHsm {
    section: HsmSection,
    metrics: Metrics,
    opened: Mutex<Opened>,
    /// The state of the PIN file when the PIN was last tried.
    tried: Mutex<PinFile>,
}

impl SecondHsm {
    async fn open(section: HsmSection, metrics: Metrics) -> Result<Self, ConfigError> {
        // Taken before the file is read, so that a change in between is noticed.
        let tried = pin_file(&section);
        let opened = open(&section, &metrics).await?;
        Ok(Self {
            section,
            metrics,
            opened: Mutex::new(opened),
            tried: Mutex::new(tried),
        })
    }

    /// Whether the HSM may be opened. A PIN that was refused is not tried again until its file has changed,
    /// because the HSM counts wrong PINs.
    fn may_try(&self) -> bool {
        let present = pin_file(&self.section);
        let before = std::mem::replace(&mut *self.tried.lock(), present);
        !matches!(*self.opened.lock(), Err(HsmError::Pin(_))) || before != present
    }
}

/// The device, the inode and the time of the last change of a PIN file.
type PinFile = Option<(u64, u64, i64, i64)>;

fn pin_file(section: &HsmSection) -> PinFile {
    let file = section.pin_file.metadata().ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// The HSMs of the configuration, and the progress of a move.
pub struct HsmMoves {
    first: DeviceName,
    next: Option<SecondHsm>,
    progress: Mutex<Progress>,
}

impl HsmMoves {
    /// Opens the second HSM of the configuration if there is one. The HSM may be unavailable.
    ///
    /// # Errors
    /// [`ConfigError`] of its section.
    pub async fn open(
        first: &HsmSection,
        next: Option<&HsmSection>,
        metrics: &Metrics,
    ) -> Result<Self, ConfigError> {
        let next = match next {
            None => None,
            Some(section) => Some(SecondHsm::open(section.clone(), metrics.clone()).await?),
        };
        Ok(Self::new(first, next))
    }

    fn new(first: &HsmSection, next: Option<SecondHsm>) -> Self {
        let state = match &next {
            None => MoveState::Unconfigured,
            Some(_) => MoveState::Ready,
        };
        let progress = Progress {
            state,
            buckets: 0,
            moved: 0,
            trouble: None,
        };
        Self {
            first: first.into(),
            next,
            progress: Mutex::new(progress),
        }
    }

    /// With a second HSM that is open already.
    #[cfg(test)]
    pub(crate) fn with_second(
        first: &HsmSection,
        section: HsmSection,
        hsm: Arc<dyn Hsm>,
        metrics: Metrics,
    ) -> Self {
        let next = SecondHsm {
            section,
            metrics,
            opened: Mutex::new(Ok(hsm)),
            tried: Mutex::default(),
        };
        Self::new(first, Some(next))
    }

    /// The HSM of `[hsm]`.
    #[must_use]
    pub const fn first(&self) -> &DeviceName {
        &self.first
    }

    /// The HSM of `[hsm_next]`.
    #[must_use]
    pub fn next(&self) -> Option<DeviceName> {
        self.next.as_ref().map(|next| (&next.section).into())
    }

    /// The second HSM, or why it could not be opened; none if the configuration names none.
    #[must_use]
    pub fn opened(&self) -> Option<Opened> {
        self.next.as_ref().map(|next| next.opened.lock().clone())
    }

    /// The number of objects that the second HSM may hold.
    #[must_use]
    pub fn next_max_objects(&self) -> Option<u64> {
        self.next.as_ref().map(|next| next.section.max_objects)
    }

    /// The same, after another try to open it if it was not open.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub async fn reopen(&self) -> Option<Opened> {
        let next = self.next.as_ref()?;
        let present = next.opened.lock().clone();
        if present.is_ok() || !next.may_try() {
            return Some(present);
        }
        let opened = match open(&next.section, &next.metrics).await {
            Ok(opened) => opened,
            Err(error) => Err(HsmError::Unavailable(error.to_string())),
        };
        let mut kept = next.opened.lock();
        // Another call may have opened it meanwhile.
        if kept.is_err() {
            *kept = opened;
        }
        Some(kept.clone())
    }

    /// Tries to open the second HSM until it answers. Stops if the HSM refuses the PIN, because it counts wrong
    /// PINs.
    pub async fn watch(&self) {
        while let Some(Err(HsmError::Unavailable(_))) = self.opened() {
            sleep(RETRY_INTERVAL).await;
            self.reopen().await;
        }
    }

    /// The progress of a move.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    /// Changes the progress that is shown.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
    }

    /// What an operator should know.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let progress = self.progress();
        let mut warnings = Vec::new();
        match progress.state {
            MoveState::Unconfigured => {}
            MoveState::Ready => {
                if let Some(Err(error)) = self.opened() {
                    warnings.push(format!("the HSM of [hsm_next]: {error}"));
                }
            }
            MoveState::Moving => {
                let trouble = progress.trouble.map(|why| format!(", and waits: {why}"));
                let trouble = trouble.unwrap_or_default();
                warnings.push(format!("the move to another HSM is under way{trouble}"));
            }
            MoveState::Moved => warnings.push(
                "the deployment has moved to the HSM of [hsm_next]: make that section [hsm]".into(),
            ),
        }
        warnings
    }
}

/// Opens an HSM. Loading a module and logging in may block. The outer error is one of the configuration, the
/// inner one of the HSM.
pub(crate) async fn open(section: &HsmSection, metrics: &Metrics) -> Result<Opened, ConfigError> {
    let config = section.pkcs11()?;
    let opened = tokio::task::spawn_blocking(move || Pkcs11Hsm::open(config)).await;
    let opened = opened.unwrap_or_else(|error| Err(HsmError::Unavailable(error.to_string())));
    Ok(opened.map(|hsm| Arc::new(MeteredHsm::new(hsm, metrics.clone())) as Arc<dyn Hsm>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_pin_is_tried_again_only_when_its_file_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "1234").unwrap();
            path
        };
        let text = "module = \"m\"\ntoken = \"t\"\npin_file = \"p\"";
        let mut section: HsmSection = toml::from_str(text).unwrap();
        section.pin_file = write("pin");
        let next = SecondHsm {
            tried: Mutex::new(pin_file(&section)),
            section,
            metrics: Metrics::new().0,
            opened: Mutex::new(Err(HsmError::Pin("wrong".into()))),
        };
        assert!(!next.may_try());
        std::fs::rename(write("other"), folder.path().join("pin")).unwrap();
        assert!(next.may_try());
        assert!(!next.may_try(), "it was refused, too");
        *next.opened.lock() = Err(HsmError::Unavailable("away".into()));
        assert!(next.may_try());
    }
}
