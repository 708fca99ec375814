use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;

use super::workload::Shred;
use crate::error::BenchError;
use crate::load::{Extent, Measured, measure};
use crate::peers::{Lethe, Method, Metrics, call};

/// Where conversations are shredded.
pub(super) const KEYSPACE: &str = "bench-shreds";

/// A development service that is filled, stopped and started again.
pub(super) struct Site {
    lethe: Option<Lethe>,
    pub(super) path: PathBuf,
    /// Conversations shredded so far: those with numbers below.
    pub(super) shredded: u64,
    /// Removed after the service has stopped: fields drop in this order.
    _folder: TempDir,
}

/// What shredding for a while showed.
#[derive(Debug, Serialize)]
pub(super) struct Shredding {
    #[serde(flatten)]
    pub(super) figures: Measured,
    /// Shreds that one root of the HSM died for, on average.
    pub(super) together: Option<f64>,
    /// Bytes of pages and tails sealed for a shred.
    pub(super) page_bytes: Option<f64>,
}

impl Site {
    /// A service on a fresh folder within `work`, with a keyspace whose leases are short.
    pub(super) async fn start(work: &Path) -> Result<Self, BenchError> {
        let what = "the service's folder";
        let folder = tempfile::Builder::new()
            .prefix("lethe-bench-")
            .tempdir_in(work)
            .map_err(BenchError::io(what))?;
        let path = folder.path().canonicalize();
        let mut site = Self {
            lethe: None,
            path: path.map_err(BenchError::io(what))?,
            shredded: 0,
            _folder: folder,
        };
        site.restart().await?;
        Ok(site)
    }

    /// The running service.
    pub(super) fn lethe(&self) -> Result<&Lethe, BenchError> {
        let lethe = self.lethe.as_ref();
        lethe.ok_or_else(|| BenchError::Server("lethe was stopped".into()))
    }

    /// Asks the service to stop, and waits.
    pub(super) fn stop(&mut self) {
        self.lethe = None;
    }

    /// Starts the service again.
    pub(super) async fn restart(&mut self) -> Result<(), BenchError> {
        self.stop();
        let lethe = Lethe::start(&self.path)?;
        let policy =
            json!({"retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "1s"});
        let path = format!("/v1/keyspaces/{KEYSPACE}");
        call(&lethe.operator, Method::Put, &path, "", &policy).await?;
        self.lethe = Some(lethe);
        Ok(())
    }

    /// Shreds conversations that were not, `size` a request.
    pub(super) async fn shred(
        &mut self,
        connections: usize,
        size: u64,
        extent: impl Into<Extent>,
    ) -> Result<Shredding, BenchError> {
        let lethe = self.lethe()?;
        let server = &lethe.server;
        let workload = Rc::new(Shred::new(server.endpoint.address, size, self.shredded));
        let before = lethe.metrics()?;
        let measured = measure(
            &server.endpoint,
            workload.clone(),
            connections,
            extent,
            server.pid,
        );
        let figures = measured.await?;
        let after = lethe.metrics()?;
        let shreds = workload.shreds();
        self.shredded += shreds;
        Ok(Shredding {
            figures,
            together: growth(&before, &after, BATCHES).map(|batches| shreds as f64 / batches),
            page_bytes: growth(&before, &after, PAGE_BYTES).map(|bytes| bytes / shreds as f64),
        })
    }
}

/// The service's histogram of batches, its count.
const BATCHES: &str = "lethe_forget_batch_seconds_count";
/// The service's counter of bytes sealed; not every release offers it.
const PAGE_BYTES: &str = "lethe_forget_page_bytes_total";

fn growth(before: &Metrics, after: &Metrics, series: &str) -> Option<f64> {
    let after = after.total(series)?;
    Some(after - before.total(series).unwrap_or_default())
}
