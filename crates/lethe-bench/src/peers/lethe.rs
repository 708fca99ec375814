use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{Server, Stopped, beside_us, free_address};
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};

/// A development service in a folder of its own.
pub(crate) struct Lethe {
    /// The server, for a message server's calls.
    pub(crate) server: Server,
    /// The server, for an operator's calls.
    pub(crate) operator: Endpoint,
    folder: PathBuf,
    ops: SocketAddr,
}

impl Lethe {
    /// Starts the `lethe` beside our own binary; on a folder with a service in it that one goes on.
    pub(crate) fn start(folder: &Path) -> Result<Self, BenchError> {
        Self::run(folder, Command::new(beside_us("lethe")?))
    }

    /// The same, with a log in the file `log` beside the folder, and a wall clock that the file
    /// `wall-clock` there shifts: builds with debug assertions look at it.
    pub(crate) fn start_with_log(folder: &Path) -> Result<Self, BenchError> {
        let mut command = Command::new(beside_us("lethe")?);
        command.env("LETHE_TEST_WALL_CLOCK", folder.with_file_name("wall-clock"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.with_file_name("log"))
            .map_err(BenchError::io("the service's log"))?;
        command.stderr(log);
        Self::run(folder, command)
    }

    fn run(folder: &Path, mut command: Command) -> Result<Self, BenchError> {
        let (listen, ops) = (free_address()?, free_address()?);
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
        database_bytes(&self.folder).iter().sum()
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

/// What the service logs when it goes on from the HSM to the rest.
const HSM_OPEN: &str = "the HSM is open";
/// From a line in the log to our having read it.
const READING: Duration = Duration::from_secs(1);

/// `lethe serve` on a development folder whose device runs apart, as a message server; and when the
/// HSM was open, where the service says it.
pub(crate) fn serve(folder: &Path) -> Result<(Server, Option<Instant>), BenchError> {
    let mut command = Command::new(beside_us("lethe")?);
    command.args(["serve", "--config"]);
    command.arg(folder.join("lethe.toml"));
    let mut child = Stopped::spawn(command.stderr(Stdio::piped()), Stdio::piped())?;
    let hsm_open = child.watch_errors(HSM_OPEN);
    let address = child.until_ready("lethe")?;
    let identity = Identity::in_folder(&folder.join("pki"), "message-server");
    let server = Server::new(Endpoint::new(address, &identity)?, child);
    Ok((server, hsm_open.recv_timeout(READING).ok()))
}

/// The `lethe` beside our own binary, for its command line.
pub(crate) fn run_lethe() -> Result<Command, BenchError> {
    Ok(Command::new(beside_us("lethe")?))
}

/// Bytes of the database in a development folder, and of its log.
pub(crate) fn database_bytes(folder: &Path) -> [u64; 2] {
    let bytes = |name| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    ["lethe.db", "lethe.db-wal"].map(bytes)
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
