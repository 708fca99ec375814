use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid as SystemPid, Signal, kill_process};

use crate::clock;
use crate::cpu::Pid;
use crate::error::BenchError;
use crate::identity::Endpoint;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running server; stopped when dropped.
pub(crate) struct Server {
    /// For the load.
    pub(crate) endpoint: Endpoint,
    /// For its CPU and memory.
    pub(crate) pid: Pid,
    _child: Stopped,
}

impl Server {
    /// A process that answers at `endpoint`.
    pub(crate) fn new(endpoint: Endpoint, child: Stopped) -> Self {
        Self {
            endpoint,
            pid: Pid(child.0.id()),
            _child: child,
        }
    }
}

/// A child that gets SIGTERM when dropped, and SIGKILL when that does not help.
pub(crate) struct Stopped(Child);

impl Stopped {
    /// Starts `command`; `output` says what to do with its standard output.
    pub(crate) fn spawn(command: &mut Command, output: Stdio) -> Result<Self, BenchError> {
        let what = format!("starting {}", command.get_program().display());
        let child = command.stdin(Stdio::null()).stdout(output).spawn();
        child.map(Self).map_err(BenchError::io(what))
    }

    /// Starts `command` and waits for its line `NAME ready https://ADDR`.
    pub(crate) fn spawn_until_ready(
        command: &mut Command,
        name: &str,
    ) -> Result<(Self, SocketAddr), BenchError> {
        let mut started = Self::spawn(command, Stdio::piped())?;
        let prefix = format!("{name} ready https://");
        let output = started.0.stdout.take();
        let mut lines = output
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines);
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            line.strip_prefix(&prefix)?
                .trim_end_matches('/')
                .parse()
                .ok()
        });
        // Read on: a full pipe would block the server.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.ok_or_else(|| BenchError::Server(format!("{name} did not start")))?;
        Ok((started, address))
    }

    fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = clock::now() + patience;
        while clock::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id())
            .ok()
            .and_then(SystemPid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !(asked && self.ends_within(PATIENCE)) {
            // Both fail only when it has ended by itself.
            let _ended = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
}

/// A port that was free just now.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("looking for a free port"))
}
