use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Server, Stopped, free_address};
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};

/// A development service in a folder of its own.
pub(crate) struct Lethe {
    /// As a message server.
    pub(crate) server: Server,
    /// As an operator.
    pub(crate) operator: Endpoint,
    folder: PathBuf,
    ops: SocketAddr,
}

impl Lethe {
    /// Starts the `lethe` beside our own binary on a fresh folder.
    pub(crate) fn start(folder: &Path) -> Result<Self, BenchError> {
        let own = std::env::current_exe().map_err(BenchError::io("our own program"))?;
        let (listen, ops) = (free_address()?, free_address()?);
        let mut command = Command::new(own.with_file_name("lethe"));
        command.arg("dev").arg("--dir").arg(folder);
        command.args(["--listen", &listen.to_string()]);
        command.args(["--ops-listen", &ops.to_string()]);
        let (child, address) = Stopped::spawn_until_ready(&mut command, "lethe")?;
        let pki = folder.join("pki");
        let message_server = Identity::in_folder(&pki, "message-server");
        let operator = Identity::in_folder(&pki, "operator");
        Ok(Self {
            server: Server::new(Endpoint::new(address, &message_server)?, child),
            operator: Endpoint::new(address, &operator)?,
            folder: folder.to_owned(),
            ops,
        })
    }

    /// Bytes of the database with its log.
    pub(crate) fn database_bytes(&self) -> u64 {
        ["lethe.db", "lethe.db-wal"]
            .iter()
            .filter_map(|name| std::fs::metadata(self.folder.join(name)).ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Its Prometheus metrics now.
    pub(crate) fn metrics(&self) -> Result<Metrics, BenchError> {
        let what = || format!("metrics at {}", self.ops);
        let mut socket = TcpStream::connect(self.ops).map_err(BenchError::io(what()))?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.ops
        );
        let mut text = String::new();
        socket
            .write_all(request.as_bytes())
            .and_then(|()| socket.read_to_string(&mut text))
            .map_err(BenchError::io(what()))?;
        Ok(Metrics(text))
    }
}

/// Prometheus' text format.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Sum over all label sets of a series; none when there is no such series.
    pub(crate) fn total(&self, series: &str) -> Option<f64> {
        let values: Vec<f64> = self
            .0
            .lines()
            .filter_map(|line| value(line, series))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

fn value(line: &str, series: &str) -> Option<f64> {
    let rest = line.strip_prefix(series)?;
    let number = match rest.strip_prefix('{') {
        Some(labels) => labels.rsplit_once("} ")?.1,
        None => rest.strip_prefix(' ')?,
    };
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_series_is_summed_over_its_labels_and_not_mistaken_for_a_longer_name() {
        let metrics = Metrics("# TYPE a counter\na{x=\"1\"} 2\na{x=\"}\"} 3.5\na_b 7\n".into());
        assert_eq!(metrics.total("a"), Some(5.5));
        assert_eq!(metrics.total("a_b"), Some(7.0));
        assert_eq!(metrics.total("b"), None);
    }
}
