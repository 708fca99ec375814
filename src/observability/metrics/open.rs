use prometheus_client::metrics::gauge::Gauge;

use super::Metrics;

/// Something open, counted until it is dropped: at its end, when its task is aborted, or by a panic.
#[derive(Debug)]
#[must_use]
pub struct Open(Gauge);

impl Open {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counts a connection while it is open.
    pub fn open_connection(&self) -> Open {
        Open::count(&self.connections)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_connection_whose_task_panics_is_open_no_more() {
        let (metrics, _) = Metrics::new();
        let _other = metrics.open_connection();
        let (begun, has_begun) = oneshot::channel();
        let (end, to_end) = oneshot::channel::<()>();
        let counted = metrics.clone();
        let task = tokio::spawn(async move {
            let _open = counted.open_connection();
            begun.send(()).unwrap();
            to_end.await.unwrap();
            panic!("in the middle of a request");
        });
        has_begun.await.unwrap();
        assert_eq!(metrics.connections.get(), 2);
        end.send(()).unwrap();
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(metrics.connections.get(), 1);
    }

    #[tokio::test]
    async fn a_connection_whose_task_is_aborted_is_open_no_more() {
        let (metrics, _) = Metrics::new();
        let (begun, has_begun) = oneshot::channel();
        let counted = metrics.clone();
        let task = tokio::spawn(async move {
            let _open = counted.open_connection();
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        has_begun.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(metrics.connections.get(), 0);
    }
}
