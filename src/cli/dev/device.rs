use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::rand;

use crate::pki::write_private;

const LOOKS: u32 = 2_000;
const RESPAWNS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// The simulated HSM as a child process.
pub(super) struct Device(Child);

impl Device {
    /// Initialises the device when it is new, and starts it.
    pub(super) fn start(dir: &Path, token: &str) -> io::Result<Self> {
        let state = dir.join("hsm");
        if !state.exists() {
            initialise(dir, &state, token)?;
        }
        let mut device = Self(spawn(&state)?);
        let mut respawns = 0;
        for _ in 0..LOOKS {
            if let Some(status) = device.0.try_wait()? {
                // One that a killed run left behind is about to notice that it is alone.
                respawns += 1;
                if respawns == RESPAWNS {
                    return Err(io::Error::other(format!("hsm-sim ended: {status}")));
                }
                std::thread::sleep(PAUSE * 10);
                device = Self(spawn(&state)?);
            }
            std::thread::sleep(PAUSE / 10);
            if UnixStream::connect(state.join("hsm.sock")).is_ok() && device.0.try_wait()?.is_none()
            {
                return Ok(device);
            }
        }
        device.0.kill()?;
        Err(io::Error::other("hsm-sim does not answer on its socket"))
    }

    /// Closes its standard input, which ends it, and waits.
    pub(super) fn stop(mut self) -> io::Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().map(drop)
    }
}

fn spawn(state: &Path) -> io::Result<Child> {
    Command::new(binary("hsm-sim")?)
        .args(["serve", "--exit-on-stdin-close", "--dir"])
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
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
    // Under another name until it is whole.
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

/// A program that was built beside this one.
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
