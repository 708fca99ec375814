//! The HSMs that the configuration names, and how far a move from one to the other is.

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

/// Between two looks whether an HSM that was away is back.
const LOOK: Duration = Duration::from_secs(10);

/// An HSM as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// Which of its tokens.
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

/// Where the deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveState {
    /// In the only HSM that the configuration names.
    Unconfigured,
    /// In `[hsm]`, and may move to `[hsm_next]`.
    Ready,
    /// Between them.
    Moving,
    /// In `[hsm_next]`.
    Moved,
}

impl MoveState {
    /// As the API says it.
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

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where the deployment is.
    pub state: MoveState,
    /// Live buckets.
    pub buckets: usize,
    /// Those of them that have moved.
    pub moved: usize,
    /// Why the move does not go on, until it does.
    pub trouble: Option<String>,
}

/// The second HSM of the configuration.
struct Next {
    section: HsmSection,
    metrics: Metrics,
    opened: Mutex<Opened>,
    /// The file of the PIN as it was when it was tried.
    tried: Mutex<PinFile>,
}

impl Next {
    async fn open(section: HsmSection, metrics: Metrics) -> Result<Self, ConfigError> {
        // Before it is read: a change in between counts as one.
        let tried = pin_file(&section);
        let opened = open(&section, &metrics).await?;
        Ok(Self {
            section,
            metrics,
            opened: Mutex::new(opened),
            tried: Mutex::new(tried),
        })
    }

    /// A PIN that was refused is not tried again until its file has changed: each try counts.
    fn may_try(&self) -> bool {
        let present = pin_file(&self.section);
        let before = std::mem::replace(&mut *self.tried.lock(), present);
        !matches!(*self.opened.lock(), Err(HsmError::Pin(_))) || before != present
    }
}

/// Which file, and when it was written.
type PinFile = Option<(u64, u64, i64, i64)>;

fn pin_file(section: &HsmSection) -> PinFile {
    let file = section.pin_file.metadata().ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// See the module.
pub struct HsmMoves {
    first: DeviceName,
    next: Option<Next>,
    progress: Mutex<Progress>,
}

impl HsmMoves {
    /// Opens the second HSM of the configuration if there is one; it may be away.
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
            Some(section) => Some(Next::open(section.clone(), metrics.clone()).await?),
        };
        Ok(Self::new(first, next))
    }

    fn new(first: &HsmSection, next: Option<Next>) -> Self {
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
        let next = Next {
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

    /// The second HSM, as it was found.
    #[must_use]
    pub fn opened(&self) -> Option<Opened> {
        self.next.as_ref().map(|next| next.opened.lock().clone())
    }

    /// Objects that the second may hold.
    #[must_use]
    pub fn next_max_objects(&self) -> Option<u64> {
        self.next.as_ref().map(|next| next.section.max_objects)
    }

    /// The second HSM, opened now if it was away.
    ///
    /// # Errors
    /// Why it cannot be opened; none when there is no second.
    pub async fn reopened(&self) -> Option<Opened> {
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
        // Another call may have been faster.
        if kept.is_err() {
            *kept = opened;
        }
        Some(kept.clone())
    }

    /// Opens the second HSM when it comes back. Not one that refuses the PIN: each try would count.
    pub async fn watch(&self) {
        while let Some(Err(HsmError::Unavailable(_))) = self.opened() {
            sleep(LOOK).await;
            self.reopened().await;
        }
    }

    /// How far a move is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    /// Says how far a move is.
    pub fn note(&self, change: impl FnOnce(&mut Progress)) {
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

/// Loading a module and logging in may block. What fails but for the HSM itself is the outer error.
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
        let next = Next {
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
