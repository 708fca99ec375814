use std::path::{Path, PathBuf};

use super::footprint::Footprint;
use crate::config::{Config, ConfigError};

/// The configuration and the files of TLS that it names.
pub(super) struct Files {
    configuration: PathBuf,
    all: Vec<PathBuf>,
    /// As they were when they were last read, whatever came of it.
    read: Footprint,
    /// As they were at the last look.
    seen: Footprint,
}

impl Files {
    /// Of a configuration that has just been read.
    pub(super) fn new(path: &Path, config: &Config) -> Self {
        let all = named(path, config);
        let seen = Footprint::of(&all);
        // Changed already since it was read? Then it differs from any footprint.
        let same = Config::load(path).is_ok_and(|now| now == *config);
        let read = if same {
            seen.clone()
        } else {
            Footprint::of(&[])
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
        let now = Footprint::of(&self.all);
        let changed = now != self.read && now == self.seen;
        self.seen = now;
        changed
    }

    /// The configuration as it is now, if not everybody may change it or what it names.
    pub(super) fn read(&mut self) -> Result<Config, ConfigError> {
        loop {
            // Before they are read: a change in between shows at the next look.
            self.read = Footprint::of(&self.all);
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
