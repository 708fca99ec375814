//! The ops listener, which answers from the beginning of a start to the end of the service.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::AppError;
use super::lifecycle::{listen, timeouts};
use crate::admission::Pool;
use crate::config::ServerSection;
use crate::http::ops;
use crate::observability::metrics::{Exposition, Metrics};

/// What it answers with, and how it ends.
pub(super) struct OpsListener {
    pub(super) routes: ops::Routes,
    pub(super) exposition: Arc<Exposition>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) serving: JoinHandle<()>,
}

impl OpsListener {
    pub(super) async fn begin(
        server: &ServerSection,
        starting: &ops::Starting,
        metrics: &Metrics,
        exposition: Exposition,
    ) -> Result<Self, AppError> {
        let listener = listen(server.ops_listen).await?;
        let exposition = Arc::new(exposition);
        let routes = ops::Routes::starting(&listener, starting);
        let exceeded = metrics.budget_exceeded("ops_connections");
        let pool = Pool::new(server.ops_max_connections, exceeded);
        let (stop, stopped) = watch::channel(false);
        // To the end of the process: a stop is watched too.
        let serving = tokio::spawn(ops::serve(
            listener,
            routes.clone(),
            pool,
            timeouts(server),
            stopped,
        ));
        Ok(Self {
            routes,
            exposition,
            stop,
            serving,
        })
    }
}
