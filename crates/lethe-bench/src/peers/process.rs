use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid as SystemPid, Signal, kill_process};

use crate::clock;
use crate::cpu::Pid;
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::output::say;

const WAIT_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running server; stopped when dropped.
pub(crate) struct Server {
    /// The address that the load goes to.
    pub(crate) endpoint: Endpoint,
    /// The process id, to read CPU time and memory.
    pub(crate) pid: Pid,
    _child: Stopped,
}

impl Server {
    /// A process that answers at `endpoint`.
    pub(crate) fn new(endpoint: Endpoint, child: Stopped) -> Self {
        Self {
            endpoint,
            pid: child.pid(),
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
        let address = started.until_ready(name)?;
        Ok((started, address))
    }

    /// Waits for the line `NAME ready https://ADDR`; standard output must be piped.
    pub(crate) fn until_ready(&mut self, name: &str) -> Result<SocketAddr, BenchError> {
        let prefix = format!("{name} ready https://");
        let output = self.0.stdout.take();
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
        address.ok_or_else(|| BenchError::Server(format!("{name} did not start")))
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        Pid(self.0.id())
    }

    /// Passes its standard error on, and says when a line with `words` came; `command` must have
    /// piped it.
    pub(crate) fn watch_errors(&mut self, words: &'static str) -> Receiver<Instant> {
        let (sender, receiver) = mpsc::channel();
        let errors = self.0.stderr.take();
        std::thread::spawn(move || {
            let lines = errors.map(BufReader::new).into_iter();
            for line in lines.flat_map(BufRead::lines).map_while(Result::ok) {
                if line.contains(words) {
                    // Nobody may wait for it any more.
                    let _ = sender.send(clock::now());
                }
                say(line);
            }
        });
        receiver
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = clock::now() + limit;
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
        if !(asked && self.ends_within(WAIT_LIMIT)) {
            // Both fail only when it has ended by itself.
            let _ended = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
}

/// A program that was built with ours.
pub(crate) fn beside_us(name: &str) -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::io("our own program"))?;
    Ok(own.with_file_name(name))
}

/// A port that was free just now.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("looking for a free port"))
}
