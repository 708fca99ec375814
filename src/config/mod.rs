//! The configuration file: one section per file, unknown options refused, secrets by path,
//! relative paths from the file's own folder.

mod access;
mod approvals;
mod audit;
mod cache;
mod clock;
mod hsm;
mod limits;
mod log;
mod receipts;
mod rotation;
mod server;
mod span;
mod store;
mod telemetry;
mod trust;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lethe_pkcs11::TokenSelector;
use serde::Deserialize;

pub use access::{AccessSection, ClientEntry, ClientPattern, KeyspacePattern, Role, SpiffeId};
pub use approvals::ApprovalsSection;
pub use audit::AuditSection;
pub use cache::CacheSection;
pub use clock::ClockSection;
pub use hsm::HsmSection;
pub use limits::{CeilingSection, LimitsSection, QuotaSection};
pub use log::{LogFormat, LogSection};
pub use receipts::ReceiptsSection;
pub use rotation::RotationSection;
pub use server::{ExpiredCrls, ServerSection};
pub use store::{PostgresSection, StoreSection, named_host};
pub use telemetry::TelemetrySection;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`: addresses, TLS and timeouts.
    pub server: ServerSection,
    /// `[store]`: the database.
    pub store: StoreSection,
    /// `[hsm]`: the HSM that holds the deployment's keys.
    pub hsm: HsmSection,
    /// `[hsm_next]`: the HSM that the deployment moves to, if it moves.
    pub hsm_next: Option<HsmSection>,
    /// `[audit]`: the audit log.
    pub audit: AuditSection,
    /// `[cache]`: how much of the forgetting trees stays in memory.
    #[serde(default)]
    pub cache: CacheSection,
    /// `[receipts]`: how long receipts are kept.
    #[serde(default)]
    pub receipts: ReceiptsSection,
    /// `[rotation]`: when key versions are replaced before their age requires it.
    #[serde(default)]
    pub rotation: RotationSection,
    /// `[approvals]`: which actions wait for a second operator.
    #[serde(default)]
    pub approvals: ApprovalsSection,
    /// `[clock]`: how far the wall clock is believed.
    #[serde(default)]
    pub clock: ClockSection,
    /// `[limits]`: how much one client, or all of them, may take.
    #[serde(default)]
    pub limits: LimitsSection,
    /// `[log]`: format and level of the log.
    #[serde(default)]
    pub log: LogSection,
    /// `[telemetry]`: where traces go.
    #[serde(default)]
    pub telemetry: TelemetrySection,
    /// `[access]`: which client may do what.
    pub access: AccessSection,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or one that it names, cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The file can be read and is not valid.
    #[error("{path}: {reason}")]
    Invalid {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong, in one line.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`], with the option and the reason.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let mut config = Self::parse(&text).map_err(|reason| ConfigError::Invalid {
            path: path.to_owned(),
            reason,
        })?;
        let folder = std::path::absolute(path).ok();
        let folder = folder
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new("/"));
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        config
            .resolve(folder, credentials.as_deref())
            .map_err(|reason| ConfigError::Invalid {
                path: path.to_owned(),
                reason,
            })?;
        Ok(config)
    }

    /// Module and token of `[hsm]` in a file. It may be the file of another machine, so files with
    /// secrets are not read.
    ///
    /// # Errors
    /// [`ConfigError`], with the option and the reason.
    pub fn device_of(path: &Path) -> Result<(PathBuf, TokenSelector), ConfigError> {
        let invalid = |reason| ConfigError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let hsm = Self::parse(&read(path)?).map_err(invalid)?.hsm;
        let module = expand(&hsm.module, None);
        let module = module.map_err(|why| invalid(format!("hsm.module {why}")))?;
        let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = folder.parent().unwrap_or(Path::new("/"));
        Ok((folder.join(module), hsm.selector()))
    }

    /// Environment variables that the PKCS#11 modules read.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let sections = std::iter::once(&self.hsm).chain(&self.hsm_next);
        let variables = sections.flat_map(|hsm| hsm.environment.clone());
        variables.collect()
    }

    /// The sections in which `new` differs and which only a restart can change.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differ = [
            ("server", self.server.differs_beyond_tls(&new.server)),
            ("store", self.store != new.store),
            ("hsm", self.hsm != new.hsm),
            ("hsm_next", self.hsm_next != new.hsm_next),
            ("audit", self.audit != new.audit),
            ("cache", self.cache != new.cache),
            ("receipts", self.receipts != new.receipts),
            ("rotation", self.rotation != new.rotation),
            ("limits", self.limits != new.limits),
            ("approvals", self.approvals != new.approvals),
            ("clock", self.clock != new.clock),
            ("log", self.log != new.log),
            ("telemetry", self.telemetry != new.telemetry),
        ];
        let names = differ.iter().filter(|(_, differs)| *differs);
        names.map(|(name, _)| *name).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| one_line(error, text))?;
        config.server.check()?;
        config.store.check()?;
        config.hsm.check("hsm")?;
        if let Some(next) = &config.hsm_next {
            next.check("hsm_next")?;
            config.hsm.check_beside(next)?;
        }
        if let StoreSection::Postgres(postgres) = &config.store
            && postgres.may_have_two_primaries()
            && config.hsm.max_outage.is_none()
        {
            return Err(
                "store.postgres.durable_on of half of the hosts or fewer needs hsm.max_outage"
                    .into(),
            );
        }
        config.audit.check()?;
        config.cache.check()?;
        config.receipts.check()?;
        config.rotation.check()?;
        config.limits.check()?;
        config.approvals.check()?;
        config.clock.check()?;
        config.log.check()?;
        config.telemetry.check()?;
        config.access.check()?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path, credentials: Option<&Path>) -> Result<(), String> {
        let crls = self.server.client_crls.iter_mut();
        let crls = crls.map(|path| ("server.client_crls", path));
        let paths = [
            ("server.certificate", &mut self.server.certificate),
            ("server.key", &mut self.server.key),
            ("server.client_ca", &mut self.server.client_ca),
            ("hsm.module", &mut self.hsm.module),
            ("hsm.pin_file", &mut self.hsm.pin_file),
            ("audit.directory", &mut self.audit.directory),
        ];
        let next = self.hsm_next.iter_mut().flat_map(|next| {
            [
                ("hsm_next.module", &mut next.module),
                ("hsm_next.pin_file", &mut next.pin_file),
            ]
        });
        let marks = self.server.crl_marks.iter_mut();
        let marks = marks.map(|path| ("server.crl_marks", path));
        let store = self.store.paths();
        let paths = paths.into_iter().chain(store).chain(crls).chain(marks);
        for (option, path) in paths.chain(next) {
            let expanded = expand(path, credentials).map_err(|why| format!("{option} {why}"))?;
            *path = folder.join(expanded);
        }
        let sections = std::iter::once(&mut self.hsm).chain(&mut self.hsm_next);
        for value in sections.flat_map(|hsm| hsm.environment.values_mut()) {
            if let Some(relative) = value.strip_prefix("./") {
                *value = folder.join(relative).to_string_lossy().into_owned();
            }
        }
        Ok(())
    }
}

/// `$CREDENTIALS_DIRECTORY/name`, as systemd hands secrets over.
fn expand(path: &Path, credentials: Option<&Path>) -> Result<PathBuf, &'static str> {
    match (path.strip_prefix("$CREDENTIALS_DIRECTORY"), credentials) {
        (Ok(name), Some(folder)) => Ok(folder.join(name)),
        (Ok(_), None) => Err("names a systemd credential, but CREDENTIALS_DIRECTORY is not set"),
        (Err(_), _) if path.as_os_str().is_empty() => Err("must not be empty"),
        (Err(_), _) if path.starts_with("~") || path.to_string_lossy().starts_with('$') => {
            Err("may use no variable but $CREDENTIALS_DIRECTORY")
        }
        (Err(_), _) => Ok(path.to_owned()),
    }
}

/// Reads a text file, with its name in the error.
///
/// # Errors
/// [`ConfigError::Read`].
pub fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads the file of a secret. `what` it is stands in the errors.
///
/// # Errors
/// [`ConfigError`] when it cannot be read, is empty, or everybody may read it.
fn secret(path: &Path, what: &str) -> Result<String, ConfigError> {
    let invalid = |reason| ConfigError::Invalid {
        path: path.to_owned(),
        reason,
    };
    let text = zeroize::Zeroizing::new(read(path)?);
    if is_open_to_all(path) {
        return Err(invalid(format!(
            "every user may read this {what}: chmod o= it"
        )));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(invalid(format!("holds no {what}"))),
        secret => Ok(secret.to_owned()),
    }
}

/// Whether users of the machine beyond owner and group may use a secret's file. The group may: that
/// is how systemd's credentials look, whose access list shows as group permissions.
#[must_use]
pub fn is_open_to_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}

/// Line, reason and option, in one line: the report of the TOML library has several.
fn one_line(mut error: toml::de::Error, text: &str) -> String {
    let line = error
        .span()
        .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
    error.set_input(None);
    let reason = error.to_string();
    format!("line {line}: {}", reason.trim_end().replace('\n', " "))
}

#[cfg(test)]
mod tests;
