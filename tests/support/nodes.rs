//! Several nodes of one deployment: `lethe serve` on a database in PostgreSQL and one simulated HSM.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;

use lethe_testkit::postgres::{ROLE, Server};
use rustix::process::{Pid, Signal, kill_process};
use rustls::version;

use super::api::tls;
use super::device::Daemon;
use super::{Api, Dev, Role, WAIT_LIMIT, end_of, free_addresses, lethe, lines_of};

/// A deployment whose store is a database of a server.
pub struct Site {
    /// Its certificates, and the folder of its HSM.
    pub dev: Dev,
    pub server: Server,
    /// Copies that follow it, by name.
    pub standbys: BTreeMap<String, Server>,
    pub database: String,
    device: Option<Daemon>,
}

/// One node of it.
pub struct Node {
    pub listen: SocketAddr,
    pub ops: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    process: Option<Child>,
    /// What it prints.
    lines: Option<Receiver<String>>,
}

impl Site {
    /// Certificates, HSM and an empty database.
    pub fn new() -> Self {
        Self::with_standbys(&[])
    }

    /// The same, with copies of these names that follow the primary, `a`.
    pub fn with_standbys(names: &[&str]) -> Self {
        let mut dev = Dev::start();
        dev.stop();
        std::fs::remove_dir_all(dev.dir().join("hsm")).unwrap();
        let server = Server::new();
        let database = server.database();
        let standbys = names.iter();
        let standbys = standbys.map(|name| ((*name).to_owned(), server.standby(name)));
        let mut site = Self {
            dev,
            standbys: standbys.collect(),
            server,
            database,
            device: None,
        };
        let pins = ["hsm.pin", "hsm.so-pin"].map(|name| site.dev.dir().join(name));
        let [pin, so_pin] = pins.each_ref().map(|it| it.to_str().unwrap());
        let token = ["init", "--label", "lethe-dev", "--pin-file", pin];
        let words = [&token[..], &["--so-pin-file", so_pin]].concat();
        site.dev.hsm_sim(&words);
        site.device = Some(site.dev.serve_device());
        site
    }

    /// A node with its configuration; it does not run.
    pub fn node(&self, name: &str) -> Node {
        let [listen, ops] = free_addresses();
        let dir = self.dev.dir();
        let text = std::fs::read_to_string(dir.join("lethe.toml")).unwrap();
        let (dev_listen, dev_ops) = (self.dev.listen.to_string(), self.dev.ops.to_string());
        let copies = self.standbys.iter().map(|(name, it)| (name.as_str(), it));
        let copies = [("a", &self.server)].into_iter().chain(copies);
        let hosts: Vec<String> = copies
            .map(|(name, it)| format!("{name} = {:?}", it.socket()))
            .collect();
        let postgres = format!(
            "[store.postgres]\nhosts = {{ {} }}\ndatabase = {:?}\nuser = {ROLE:?}\nstate = \"state-{name}\"\n",
            hosts.join(", "),
            self.database
        );
        let text = text
            .replace(&dev_listen, &listen.to_string())
            .replace(&dev_ops, &ops.to_string())
            .replace("[store]\nsqlite = \"lethe.db\"\n", &postgres)
            .replace("\"audit\"", &format!("\"audit-{name}\""));
        let config = dir.join(format!("{name}.toml"));
        std::fs::write(&config, text).unwrap();
        Node {
            listen,
            ops,
            config,
            log: self.dev.scratch().join(format!("log-{name}")),
            process: None,
            lines: None,
        }
    }

    /// A client of a role at a node.
    pub fn api(&self, node: &Node, role: Role) -> Api {
        let certificate = self.dev.dir().join("pki").join(role.name());
        let tls = tls(&self.dev, Some(&certificate), &[&version::TLS13]);
        Api::at(node.listen, tls, &["h2", "http/1.1"])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Node {
    /// `lethe` with these words and its configuration; what it printed.
    pub fn lethe(&self, words: &[&str]) -> String {
        let output = lethe(words).arg("--config").arg(&self.config).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts it, and does not wait.
    pub fn begin(&mut self) {
        let mut log = File::options();
        let log = log.create(true).append(true).open(&self.log).unwrap();
        let mut command = lethe(&["serve", "--config"]);
        command.arg(&self.config).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let lines = lines_of(&mut child);
        (self.process, self.lines) = (Some(child), Some(lines));
    }

    /// Waits until it serves.
    pub fn serves(&self) {
        let line = self.lines.as_ref().unwrap().recv_timeout(WAIT_LIMIT);
        let expected = format!("lethe ready https://{}", self.listen);
        assert_eq!(line.as_deref(), Ok(expected.as_str()), "{}", self.log());
    }

    /// Starts it, and waits until it serves.
    pub fn run(&mut self) {
        self.begin();
        self.serves();
    }

    /// Whether it has said that it serves.
    pub fn has_served(&self) -> bool {
        self.lines.as_ref().unwrap().try_recv().is_ok()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.process.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; must exit 0.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        end_of(self.process.take().unwrap(), || self.log())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// `GET` on the ops listener: status and text; none while nobody listens.
    pub async fn ops(&self, path: &str) -> Option<(u16, String)> {
        // Plain HTTP; reqwest wants a provider all the same. A second install changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let answer = reqwest::get(format!("http://{}{path}", self.ops)).await;
        let answer = answer.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }
}
