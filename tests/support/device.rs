//! The simulated HSM: faults, dumps, a daemon of our own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, kill_process};

use super::{Dev, binary, is_alive, until};

/// A daemon started by the test, killed with it.
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Dev {
    fn device(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary("hsm-sim"));
        command
            .args(words)
            .arg("--dir")
            .arg(self.dir().join("hsm"))
            .stdin(Stdio::null());
        command
    }

    /// `hsm-sim` on the device of this deployment; what it printed.
    pub fn hsm_sim(&self, words: &[&str]) -> String {
        let output = self.device(words).output().unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether calls block, as the fault `hang-after` makes them in the end.
    pub fn device_hangs(&self) -> bool {
        let faults = self.hsm_sim(&["fault", "list"]);
        faults.lines().any(|line| line.starts_with("fault hang "))
    }

    /// Ids of all objects that an attacker would find.
    pub fn objects(&self) -> Vec<(String, String)> {
        let dump: serde_json::Value = serde_json::from_str(&self.hsm_sim(&["dump"])).unwrap();
        let objects = dump["objects"].as_array().unwrap().iter();
        let mut ids: Vec<_> = objects
            .map(|object| (object["label"].to_string(), object["id"].to_string()))
            .collect();
        ids.sort();
        ids
    }

    /// SIGKILL to the daemon that the service started.
    pub fn kill_device(&self) {
        let pid = self.device_pid().unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        until(|| (!is_alive(pid)).then_some(())).unwrap();
    }

    /// As [`Self::kill_device`], and it cannot be started again before [`Self::return_device`].
    pub fn take_device(&self) {
        std::fs::rename(self.dir().join("hsm"), self.dir().join("hsm.taken")).unwrap();
        self.kill_device();
    }

    pub fn return_device(&self) {
        std::fs::rename(self.dir().join("hsm.taken"), self.dir().join("hsm")).unwrap();
    }

    /// A daemon in place of one that was killed.
    pub fn serve_device(&self) -> Daemon {
        let mut child = self
            .device(&["serve"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("hsm-sim ready"), "{line}");
        Daemon(child)
    }
}
