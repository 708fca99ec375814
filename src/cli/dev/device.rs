use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::rand;

use crate::cli::Failure;
use crate::observability::logging;
use crate::pki::write_private;

const LOOKS: u32 = 2_000;
const RESPAWNS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Longest path of a socket, with the zero behind it.
const LONGEST_SOCKET: usize = 108;

/// Refuses a folder whose path is too long for the HSM's socket.
pub(super) fn check_length(dir: &Path) -> Result<(), Failure> {
    let named = dir.join("hsm/admin.sock");
    // The module gets the absolute path.
    let whole = std::path::absolute(dir)?.join("hsm/hsm.sock");
    let longest = named.as_os_str().len().max(whole.as_os_str().len());
    let over = (longest + 1).saturating_sub(LONGEST_SOCKET);
    if over == 0 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}: the path is {over} bytes too long for the sockets in it",
        dir.display()
    )))
}

/// The simulated HSM, as a child process.
pub(super) struct Device {
    child: Child,
    /// Whether this program is ending the process. Another end is logged.
    stopping: Arc<AtomicBool>,
}

impl Device {
    /// Initialises the device when it is new, and starts it.
    pub(super) fn start(dir: &Path, token: &str) -> io::Result<Self> {
        let state = dir.join("hsm");
        if !state.exists() {
            initialise(dir, &state, token)?;
        }
        let mut child = spawn(&state)?;
        let mut respawns = 0;
        for _ in 0..LOOKS {
            if let Some(status) = child.try_wait()? {
                // A process that a killed run left behind still has the folder. It ends soon.
                respawns += 1;
                if respawns == RESPAWNS {
                    return Err(ended(child, status));
                }
                std::thread::sleep(PAUSE * 10);
                child = spawn(&state)?;
            }
            std::thread::sleep(PAUSE / 10);
            if UnixStream::connect(state.join("hsm.sock")).is_ok() && child.try_wait()?.is_none() {
                return Self::watched(child);
            }
        }
        child.kill()?;
        Err(io::Error::other("hsm-sim does not answer on its socket"))
    }

    /// Copies its output to the log, and logs if it ends by itself.
    fn watched(mut child: Child) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (said, expected) = (child.stderr.take(), Arc::clone(&stopping));
        std::thread::Builder::new()
            .name("hsm-sim".into())
            .spawn(move || {
                let lines = said.map(|said| BufReader::new(said).lines());
                for line in lines.into_iter().flatten().map_while(Result::ok) {
                    logging::say(&line);
                }
                if !expected.load(Ordering::SeqCst) {
                    tracing::error!(
                        "hsm-sim has ended: the service goes on without an HSM; start `lethe dev` again"
                    );
                }
            })?;
        Ok(Self { child, stopping })
    }

    /// Closes its standard input, which ends it, and waits.
    pub(super) fn stop(mut self) -> io::Result<()> {
        self.stopping.store(true, Ordering::SeqCst);
        drop(self.child.stdin.take());
        self.child.wait().map(drop)
    }
}

/// The error of a process that has ended, with its last output.
fn ended(mut child: Child, status: ExitStatus) -> io::Error {
    let mut said = String::new();
    if let Some(mut from) = child.stderr.take() {
        // If its output cannot be read, the error has none.
        let _ = from.read_to_string(&mut said);
    }
    let said = said.lines().last().unwrap_or_default();
    let said = said.strip_prefix("hsm-sim: ").unwrap_or(said);
    io::Error::other(format!("hsm-sim ended ({status}): {said}"))
}

fn spawn(state: &Path) -> io::Result<Child> {
    Command::new(binary("hsm-sim")?)
        .args(["serve", "--exit-on-stdin-close", "--dir"])
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

fn initialise(dir: &Path, state: &Path, token: &str) -> io::Result<()> {
    let (pin, so_pin) = (dir.join("hsm.pin"), dir.join("hsm.so-pin"));
    for path in [&pin, &so_pin] {
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(io::Error::other)?;
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(path, &text)?;
    }
    // The folder has another name until it is complete.
    let draft = dir.join("hsm.new");
    if draft.exists() {
        std::fs::remove_dir_all(&draft)?;
    }
    let status = Command::new(binary("hsm-sim")?)
        .args(["init", "--label", token, "--dir"])
        .arg(&draft)
        .arg("--pin-file")
        .arg(&pin)
        .arg("--so-pin-file")
        .arg(&so_pin)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(io::Error::other("hsm-sim init failed"));
    }
    std::fs::rename(&draft, state)
}

/// The path of a program that was built beside this one.
pub(super) fn binary(name: &str) -> io::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let path = ours.parent().unwrap_or(Path::new("/")).join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(io::Error::other(format!(
        "{} is missing: build it with `cargo build --workspace`",
        path.display()
    )))
}
