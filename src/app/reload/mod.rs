//! Reads the configuration again, on SIGHUP and when a file changes, while requests go on. The grants
//! and the TLS files change. If anything is wrong, all of it is refused and the old configuration
//! stays.

mod files;
mod footprint;
mod hangup;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use files::Files;
pub use hangup::Hangup;
use lethe_core::ports::Clock as _;
use lethe_core::time::Timestamp;

use super::tasks::Alarm;
use crate::config::{Config, ConfigError, ExpiredCrls};
use crate::identity::tls::{ListMarks, Tls, TlsError};
use crate::identity::{Access, Gate};
use crate::node::NodeState;
use crate::node::clock::HandshakeClock;
use crate::observability::metrics::Metrics;

/// Time between two looks at the files. A change is read at the next look if the files have not changed
/// since: there may be a file that is half written, or a certificate whose key is not there yet.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Certificate(&'static str),
}

/// Reads the configuration anew, once it is started.
pub struct Reloader {
    files: Files,
    /// The configuration that the service was started with.
    running: Config,
    /// How far the revocation lists in force have come: no list that is loaded later may be older.
    marks: ListMarks,
}

impl Reloader {
    /// For a service that is about to start with `running`, read from `path`. Call this before the
    /// files are read that the configuration names, because only later changes are seen.
    #[must_use]
    pub fn new(path: &Path, running: &Config) -> Self {
        Self {
            files: Files::new(path, running),
            running: running.clone(),
            marks: ListMarks::default(),
        }
    }

    /// Reads the TLS files for the start. Call this once, before [`Self::start`].
    ///
    /// # Errors
    /// [`TlsError`], also when a revocation list is older than one that was in force before, where
    /// the configuration names a file to remember it in.
    pub fn first_tls(&mut self, now: Timestamp) -> Result<Tls, TlsError> {
        let server = &self.running.server;
        let tls = Tls::load(server, now)?;
        if let Some(path) = &server.crl_marks {
            self.marks = ListMarks::load(path)?;
        }
        self.advance(&tls)?;
        if let Some(trouble) = tls.certificate_trouble(now) {
            // It starts nevertheless: a service without clients destroys expired keys, and one that
            // does not run does not.
            tracing::error!("{trouble}");
        }
        Ok(tls)
    }

    /// Writes down how far the lists have come, if none is older than before.
    fn advance(&mut self, tls: &Tls) -> Result<(), TlsError> {
        let mut next = self.marks.clone();
        next.advance(&tls.list_marks()).map_err(TlsError::Lists)?;
        let path = self.running.server.crl_marks.as_ref();
        if let Some(path) = path.filter(|_| next != self.marks) {
            next.save(path)?;
        }
        self.marks = next;
        Ok(())
    }

    /// Starts a thread that reloads, because reading files may be slow. Each message has all files
    /// read. The thread ends when the sender is dropped.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::app) fn start(
        self,
        gate: Arc<Gate>,
        node: Arc<NodeState>,
        metrics: Metrics,
        alarm: Alarm,
    ) -> std::io::Result<Sender<()>> {
        let (sender, asked) = channel();
        let mut work = Work {
            expired_crls: self.running.server.expired_crls,
            reloader: self,
            gate,
            node,
            metrics,
            lists_looked_at: Timestamp::from_millis(0),
        };
        std::thread::Builder::new()
            .name("lethe-reload".into())
            .spawn(move || {
                // Without it no revocation would come into force, and nobody would notice.
                let _alarm = alarm;
                work.run(&asked);
            })?;
        Ok(sender)
    }
}

struct Work {
    reloader: Reloader,
    gate: Arc<Gate>,
    node: Arc<NodeState>,
    metrics: Metrics,
    /// `server.expired_crls` of the configuration that is in force.
    expired_crls: ExpiredCrls,
    lists_looked_at: Timestamp,
}

impl Work {
    fn run(&mut self, asked: &Receiver<()>) {
        loop {
            self.watch_ends();
            match asked.recv_timeout(LOOK_EVERY) {
                Ok(()) => self.reload("SIGHUP"),
                Err(RecvTimeoutError::Timeout) if self.reloader.files.have_changed() => {
                    self.reload("a file has changed");
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reload(&mut self, cause: &'static str) {
        let (result, note) = match self.load() {
            Ok(note) => {
                tracing::info!(cause, "the configuration was read and is in force");
                ("ok", note)
            }
            Err(error) => {
                tracing::error!(cause, %error, "the new configuration is refused, the old one stays");
                let note = format!("the configuration is refused, the old one stays: {error}");
                ("refused", Some(note))
            }
        };
        self.node.condition.lock().configuration = note;
        self.metrics.reloaded(result);
    }

    /// Puts the files in force. Returns a note that names the sections that need a restart.
    fn load(&mut self) -> Result<Option<String>, Refused> {
        let config = self.reloader.files.read()?;
        let now = HandshakeClock.now();
        let tls = Tls::load(&config.server, now)?;
        let in_force = tls.may_replace(self.gate.rules().tls(), now);
        in_force.map_err(Refused::Certificate)?;
        self.reloader.advance(&tls)?;
        self.gate.replace(Access::new(&config.access), tls);
        self.expired_crls = config.server.expired_crls;
        self.lists_looked_at = Timestamp::from_millis(0);
        let sections = self.reloader.running.needs_restart(&config);
        if sections.is_empty() {
            return Ok(None);
        }
        let sections = sections.join(", ");
        tracing::warn!(sections, "changes in these sections need a restart");
        Ok(Some(format!("changes need a restart: {sections}")))
    }

    /// Certificates and lists end without any file changing.
    fn watch_ends(&mut self) {
        let (rules, now) = (self.gate.rules(), HandshakeClock.now());
        let tls = rules.tls();
        let next_update = tls.clients.next_update();
        let metrics = &self.metrics;
        metrics.validity(tls.certificate_end(), next_update, now);
        let before = std::mem::replace(&mut self.lists_looked_at, now);
        if !tls.clients.any_list_ended(before, now) {
            return;
        }
        match self.expired_crls {
            ExpiredCrls::Refuse => {
                tracing::error!("a revocation list has expired: clients of its CA are refused");
                self.gate.recheck();
            }
            ExpiredCrls::Accept => {
                tracing::warn!("a revocation list has expired: newer revocations are not known");
            }
        }
    }
}
