//! The built service as users run it: `lethe dev` in a folder of its own, real mTLS, the simulated
//! HSM beside it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses a part; helpers of tests panic like tests"
)]

pub mod api;
pub mod approvals;
pub mod collector;
pub mod device;
pub mod independent;
pub mod line;
pub mod memory;
pub mod nodes;
pub mod pki;
pub mod seized;
pub mod shreds;
pub mod softhsm;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lethe_testkit::built;
use rustix::process::{Pid, Signal, kill_process};

#[allow(unused_imports, reason = "each test binary uses a part")]
pub use api::{Api, Role, refused};

/// How long a test waits for what it needs: longer than anything takes on a busy machine.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A binary of this build. The service finds simulator and module beside itself.
pub fn binary(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_lethe")).parent().unwrap();
    built(folder, "hsm-sim", "hsm-sim");
    built(folder, "hsm-sim-pkcs11", "libhsm_sim_pkcs11.so");
    folder.join(name)
}

/// `lethe` with these words; not yet started.
pub fn lethe(words: &[&str]) -> Command {
    let mut command = Command::new(binary("lethe"));
    command.args(words).stdin(Stdio::null());
    command
}

/// A test of this program, to be run again in a process of its own; `module` is its `module_path!()`.
pub fn this_test(module: &str, test: &str) -> Command {
    let (_program, module) = module.split_once("::").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture"]);
    command
}

/// A development folder, and the service when it runs.
pub struct Dev {
    folder: tempfile::TempDir,
    pub listen: SocketAddr,
    pub ops: SocketAddr,
    process: Option<Child>,
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

impl Dev {
    /// A new deployment, running.
    pub fn start() -> Self {
        let mut dev = Self::stopped();
        dev.run();
        dev
    }

    /// A new deployment that runs with an edited configuration.
    pub fn start_with(edit: impl Fn(String) -> String) -> Self {
        let mut dev = Self::start();
        dev.stop();
        dev.edit(edit);
        dev.run();
        dev
    }

    /// An empty folder.
    pub fn stopped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("dev")).unwrap();
        let [listen, ops] = free_addresses();
        Self {
            folder,
            listen,
            ops,
            process: None,
        }
    }

    /// The folder of `--dir`.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("dev")
    }

    /// A place for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The sections of the two HSMs change places.
    pub fn turn_hsms(&self) {
        self.edit(|text| {
            text.replace("[hsm]", "[turned]")
                .replace("[hsm_next]", "[hsm]")
                .replace("[turned]", "[hsm_next]")
        });
    }

    /// The configuration, edited.
    pub fn edit(&self, edit: impl Fn(String) -> String) {
        let path = self.dir().join("lethe.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        let after = edit(before.clone());
        assert_ne!(before, after, "the edit changed nothing");
        std::fs::write(path, after).unwrap();
    }

    /// `lethe dev` on this folder, not yet started. What it logs goes to [`Self::log`].
    pub fn command(&self) -> Command {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = lethe(&["dev"]);
        command
            .arg("--dir")
            .arg(self.dir())
            .args(["--listen", &self.listen.to_string()])
            .args(["--ops-listen", &self.ops.to_string()])
            .stdout(Stdio::piped())
            .stderr(log);
        let wall_clock = self.wall_clock();
        if wall_clock.exists() {
            command.env("LETHE_TEST_WALL_CLOCK", wall_clock);
        }
        command
    }

    fn wall_clock(&self) -> PathBuf {
        self.folder.path().join("wall-clock")
    }

    /// What the service's wall clock shows: `+0`, `-5000` or `=1700000000000`, in milliseconds.
    /// Before its first start, or there is none to be put wrong.
    pub fn set_wall_clock(&self, text: &str) {
        let draft = self.folder.path().join("wall-clock.new");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.wall_clock()).unwrap();
    }

    /// Which boot of the machine the service finds itself on, from its next start on. Only with a
    /// wall clock that can be put wrong.
    pub fn set_boot(&self, number: u128) {
        let file = self.folder.path().join("wall-clock.boot");
        std::fs::write(file, number.to_string()).unwrap();
    }

    /// Starts it and waits until it is ready.
    pub fn run(&mut self) {
        if let Err(status) = self.try_run() {
            panic!("not ready ({status}):\n{}", self.log());
        }
    }

    /// Runs it anew, whether it has ended meanwhile or not.
    pub fn restart(&mut self) {
        let device = self.device_pid();
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
        if let Some(device) = device {
            until(|| (!is_alive(device)).then_some(())).unwrap();
        }
        self.run();
    }

    /// Starts it; how it ended when it did not get ready.
    pub fn try_run(&mut self) -> Result<(), ExitStatus> {
        let mut child = self.command().spawn().unwrap();
        match lines_of(&mut child).recv_timeout(WAIT_LIMIT) {
            Ok(line) => {
                assert_eq!(line, format!("lethe ready https://{}", self.listen));
                self.process = Some(child);
                Ok(())
            }
            Err(_) => {
                let _ = child.kill();
                Err(child.wait().unwrap())
            }
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().unwrap())
    }

    /// SIGTERM; must exit 0.
    pub fn stop(&mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let status = self.ended();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        end_of(self.process.take().unwrap(), || self.log())
    }

    /// SIGKILL, and waits for the simulated HSM to notice.
    pub fn kill(&mut self) {
        let device = self.device_pid();
        let mut child = self.process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(device) = device {
            let gone = until(|| (!is_alive(device)).then_some(()));
            assert!(gone.is_some(), "hsm-sim outlives the service");
        }
    }

    /// The hsm-sim that the service started.
    pub fn device_pid(&self) -> Option<Pid> {
        let tasks = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        let tasks = std::fs::read_dir(tasks).ok()?;
        let children = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
            .collect::<Vec<_>>()
            .join(" ");
        let raw = children.split_whitespace().next()?.parse().ok()?;
        Pid::from_raw(raw)
    }

    /// A client of a role.
    pub fn api(&self, role: Role) -> Api {
        Api::new(self, &self.dir().join("pki").join(role.name()))
    }

    /// `GET` on the ops listener: status and text.
    pub async fn ops(&self, path: &str) -> (u16, String) {
        // Plain HTTP; reqwest wants a provider all the same. A second install changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let answer = reqwest::get(format!("http://{}{path}", self.ops))
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The sum of a metric over its labels, or the one with these.
    pub async fn metric(&self, name: &str) -> i64 {
        let (_, text) = self.ops("/metrics").await;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let named = key == name || key.split('{').next()? == name;
            named.then(|| value.parse::<f64>().unwrap() as i64)
        });
        values.sum()
    }

    /// A connection of our own to the database.
    pub async fn database(&self) -> sqlx::SqliteConnection {
        use sqlx::ConnectOptions;
        sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.dir().join("lethe.db"))
            .busy_timeout(WAIT_LIMIT)
            .connect()
            .await
            .unwrap()
    }

    /// All lines of the audit log.
    pub fn audit(&self) -> String {
        let mut files: Vec<_> = std::fs::read_dir(self.dir().join("audit"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
            .collect();
        files.sort();
        files
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect()
    }
}

/// The lines that a child prints.
pub fn lines_of(child: &mut Child) -> Receiver<String> {
    let output = child.stdout.take().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Read on when nobody listens any more: a full pipe would block the service.
            let _ = sender.send(line);
        }
    });
    lines
}

/// Waits for the end of a child.
pub fn end_of(mut child: Child, log: impl FnOnce() -> String) -> ExitStatus {
    let waited = until(|| child.try_wait().unwrap());
    waited.unwrap_or_else(|| {
        let _ = child.kill();
        panic!("it does not end:\n{}", log())
    })
}

/// Tries until there is an answer, for [`WAIT_LIMIT`] at most.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..WAIT_LIMIT.as_millis() / 20 {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Waits until an asynchronous check succeeds. Panics after [`WAIT_LIMIT`].
pub async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    for _ in 0..WAIT_LIMIT.as_millis() / 50 {
        if look().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not seen in time: {what}");
}

pub fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // A zombie that nobody has waited for is dead.
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Addresses where nobody listens. Their ports are below those that the kernel gives to connections and
/// to listeners that want any: one of these could have the port before the service has it.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(512);
    let next = || first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let free = |port: u32| {
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?));
        TcpListener::bind(address).is_ok().then_some(address)
    };
    let mut found = std::iter::repeat_with(next).filter_map(|it| free(10_000 + it % 20_000));
    [(); N].map(|()| found.next().unwrap())
}
