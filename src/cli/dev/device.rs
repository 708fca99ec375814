use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::rand;
use lethe_core::ports::Clock;
use parking_lot::{Condvar, Mutex};

use crate::cli::Failure;
use crate::node::clock::SystemClock;
use crate::observability::logging;
use crate::pki::write_private;

const LOOKS: u32 = 2_000;
const RESPAWNS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// Before one that has ended is started again. The pause doubles while they end soon.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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

/// The simulated HSM, as a child process that is started again when it ends.
pub(super) struct Device {
    control: Arc<Control>,
    watcher: JoinHandle<()>,
}

/// What this program and the thread that watches the child share.
#[derive(Default)]
struct Control {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether this program is ending the process.
    stopping: bool,
    /// Standard input of the child, whose end is the child's.
    stdin: Option<ChildStdin>,
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
                return Self::watched(child, state);
            }
        }
        child.kill()?;
        Err(io::Error::other("hsm-sim does not answer on its socket"))
    }

    fn watched(mut child: Child, state: PathBuf) -> io::Result<Self> {
        let control = Arc::<Control>::default();
        control.state.lock().stdin = child.stdin.take();
        let watching = Arc::clone(&control);
        let watcher = std::thread::Builder::new()
            .name("hsm-sim".into())
            .spawn(move || watch(child, &state, &watching))?;
        Ok(Self { control, watcher })
    }

    /// Closes its standard input, which ends it, and waits.
    pub(super) fn stop(self) {
        let mut state = self.control.state.lock();
        state.stopping = true;
        drop(state.stdin.take());
        drop(state);
        self.control.stopped.notify_all();
        // If it panicked, nobody waits for the child, which ends all the same.
        let _ = self.watcher.join();
    }
}

/// Copies the child's output to the log and, when it ends by itself, starts it again: the service goes
/// on meanwhile, as with a device that is away.
fn watch(mut child: Child, state: &Path, control: &Control) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let begun = SystemClock.since_boot();
        let said = child.stderr.take().map(|said| BufReader::new(said).lines());
        for line in said.into_iter().flatten().map_while(Result::ok) {
            logging::say(&line);
        }
        let ended = child
            .wait()
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        if SystemClock.since_boot().saturating_sub(begun) > LONGEST_PAUSE {
            pause = SHORTEST_PAUSE;
        }
        child = match again(&ended, &mut pause, state, control) {
            Some(child) => child,
            None => return,
        };
    }
}

/// The next child after a pause; none when this program ends.
fn again(ended: &str, pause: &mut Duration, state: &Path, control: &Control) -> Option<Child> {
    let mut shared = control.state.lock();
    let mut why = ended.to_owned();
    loop {
        if shared.stopping {
            return None;
        }
        tracing::error!(
            seconds = pause.as_secs_f32(),
            "hsm-sim has ended ({why}): it is started again, and the service goes on without it until then"
        );
        let serves = |shared: &mut State| !shared.stopping;
        control.stopped.wait_while_for(&mut shared, serves, *pause);
        *pause = LONGEST_PAUSE.min(*pause * 2);
        if shared.stopping {
            return None;
        }
        match spawn(state) {
            Ok(mut child) => {
                shared.stdin = child.stdin.take();
                return Some(child);
            }
            Err(error) => why = error.to_string(),
        }
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
        // A Ctrl-C goes to the terminal's process group, and the service needs its HSM to stop in order.
        .process_group(0)
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
