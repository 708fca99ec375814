use std::path::{Path, PathBuf};

use super::footprint::Footprint;
use crate::config::{Config, ConfigError};

/// The configuration file and the TLS files that it names.
pub(super) struct Files {
    configuration: PathBuf,
    all: Vec<PathBuf>,
    /// The state of the files when they were last read, whether or not they were valid.
    read: Footprint,
    /// The state of the files when they were last looked at.
    seen: Footprint,
}

impl Files {
    /// The files of a configuration that was just read.
    pub(super) fn new(path: &Path, config: &Config) -> Self {
        let all = named(path, config);
        let seen = Footprint::from_paths(&all);
        // If the file has changed since it was read, an empty footprint differs from every other one.
        let same = Config::load(path).is_ok_and(|now| now == *config);
        let read = if same {
            seen.clone()
        } else {
            Footprint::from_paths(&[])
        };
        Self {
            configuration: path.to_owned(),
            all,
            read,
            seen,
        }
    }

    /// Whether they have changed since they were read, and not since the last look.
    pub(super) fn have_changed(&mut self) -> bool {
        let now = Footprint::from_paths(&self.all);
        let changed = now != self.read && now == self.seen;
        self.seen = now;
        changed
    }

    /// The configuration as it is now, if not everybody may change it or what it names.
    pub(super) fn read(&mut self) -> Result<Config, ConfigError> {
        loop {
            // The footprint is taken before the files are read, so that a change in between is seen at
            // the next look.
            self.read = Footprint::from_paths(&self.all);
            let config = Config::load(&self.configuration)?;
            let all = named(&self.configuration, &config);
            if all == self.all {
                let others = config.writers(&self.configuration)?;
                others.iter().for_each(|who| tracing::warn!("{who}"));
                return Ok(config);
            }
            self.all = all;
        }
    }
}

fn named(path: &Path, config: &Config) -> Vec<PathBuf> {
    let server = &config.server;
    let own = [path, &server.certificate, &server.key, &server.client_ca];
    let own = own.into_iter().map(Path::to_owned);
    own.chain(server.client_crls.iter().cloned()).collect()
}
