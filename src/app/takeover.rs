//! `lethe takeover`: the deployment's claim is given to the store that the configuration names.

use std::sync::Arc;

use lethe_audit::{AuditConfig, FileAuditSink};
use lethe_core::audit::{Event, Record};
use lethe_core::batch::Ports;
use lethe_core::claim::Claim;
use lethe_core::ports::{AuditSink, Clock};
use lethe_core::takeover::{Found, look, take};
use lethe_store_sqlite::{Elsewhere, elsewhere};

use super::AppError;
use super::adapters::{ports, steady_clock};
use super::claim::{earlier, visible_path};
use super::devices::open_devices;
use super::stores;
use crate::config::Config;
use crate::observability::metrics::Metrics;

/// What was found.
pub enum Prepared {
    /// The store has the claim already.
    Ours {
        /// The deployment.
        deployment: String,
    },
    /// It can be taken over.
    Ready(Box<Takeover>),
}

/// A takeover that nothing speaks against; the store is locked until it is dropped.
pub struct Takeover {
    ports: Ports,
    claim: lethe_core::takeover::Takeover,
    /// What is at the old place, where that can be seen.
    left: Option<Elsewhere>,
    /// None where the audit folder is not here.
    audit: Option<AuditConfig>,
}

/// What was done.
pub struct TakenOver {
    /// The deployment.
    pub deployment: String,
    /// What the HSM said.
    pub from: String,
    /// The path of the store that has the claim now.
    pub to: String,
    /// Of the new root.
    pub sequence: u64,
    /// Whether the audit log has it; an error where it should and has not.
    pub recorded: Result<bool, String>,
}

/// Looks whether the store of a configuration may have the claim; changes nothing but an
/// older schema.
///
/// # Errors
/// [`AppError`]: what speaks against it.
pub async fn prepare(config: &Config, interrupted: bool) -> Result<Prepared, AppError> {
    // Whoever serves it holds its lock.
    let store = stores::open(&config.store).await?;
    // While a move is under way both HSMs bear the claim, and the deployment's keys.
    let (metrics, _) = Metrics::new();
    let (devices, _) = open_devices(config, store.as_ref(), &metrics).await?;
    let clock = Arc::new(steady_clock(config, store.as_ref()).await?);
    let ports = ports(config, devices, store, clock);
    let claim = match look(
        &ports,
        interrupted,
        earlier(ports.store.as_ref()).as_deref(),
    )
    .await?
    {
        Found::Ours(deployment) => {
            let deployment = deployment.to_string();
            return Ok(Prepared::Ours { deployment });
        }
        Found::Elsewhere(claim) => claim,
    };
    let from: Option<Claim> = claim.from.parse().ok();
    // Another file at the very place: its lock is the one that is held here.
    let left = from.filter(|from| !from.location.is_same_place(&claim.to));
    let left = left.and_then(|from| visible_path(&from, &claim.to).map(elsewhere));
    if let Some(Elsewhere::Served(path)) = left {
        return Err(AppError::StillServed(path));
    }
    let is_there = config.audit.directory.is_dir();
    Ok(Prepared::Ready(Box::new(Takeover {
        ports,
        claim,
        left,
        audit: is_there.then(|| config.audit.sink()),
    })))
}

impl Takeover {
    /// What the HSM says.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.claim.from
    }

    /// The path of the store that gets the claim.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.claim.to.path
    }

    /// What somebody has to make sure of, in words.
    #[must_use]
    pub fn old_place(&self) -> String {
        match &self.left {
            Some(Elsewhere::Left(path)) => {
                format!("a database is still at {}: delete it", path.display())
            }
            Some(Elsewhere::Gone(_)) => "nothing is at the old place any more".to_owned(),
            _ => "the old place cannot be seen from here: make sure that nothing serves it".into(),
        }
    }

    /// Whether it will be in the audit log.
    #[must_use]
    pub const fn will_be_recorded(&self) -> bool {
        self.audit.is_some()
    }

    /// Moves the claim, and makes a new root: copies at the old place open no more.
    ///
    /// # Errors
    /// [`AppError`]; it can be run again.
    pub async fn carry_out(self) -> Result<TakenOver, AppError> {
        let Self {
            ports,
            claim,
            audit,
            ..
        } = self;
        // Nobody else may be writing it.
        let audit = audit.map(FileAuditSink::open).transpose()?;
        let to = claim.to.path.clone();
        tracing::warn!(from = claim.from, to, "taking the claim over");
        let sequence = take(&ports, &claim).await?;
        tracing::warn!(
            deployment = %claim.deployment,
            from = claim.from,
            to,
            sequence,
            "the claim was taken over"
        );
        let recorded = match audit {
            Some(audit) => record(&audit, ports.clock.as_ref()).await.map(|()| true),
            None => Ok(false),
        };
        Ok(TakenOver {
            deployment: claim.deployment.to_string(),
            from: claim.from,
            to,
            sequence,
            recorded,
        })
    }
}

async fn record(audit: &FileAuditSink, clock: &dyn Clock) -> Result<(), String> {
    let user = rustix::process::getuid().as_raw();
    let record = Record::new(&Event {
        time: clock.now(),
        request: "takeover",
        client: &format!("local:uid={user}"),
        operation: "takeover",
        keyspace: None,
        outcome: "ok",
        keys: &[],
        refused: 0,
        requests: &[],
        reason: None,
    });
    let written = async {
        audit.append(record).await?;
        audit.close().await
    };
    written.await.map_err(|error| error.to_string())
}
