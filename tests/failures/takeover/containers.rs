//! Copies of one deployment on one HSM, in mount and host-name namespaces of their own: what names a
//! machine is empty, missing or the same.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{copy, issued, said, takeover};
use crate::support::device::Daemon;
use crate::support::{Dev, Role, api::Api, binary, eventually, free_addresses, refused, until};

const NAMESPACES: [&str; 4] = ["--user", "--map-root-user", "--mount", "--uts"];

/// Where they are not allowed nothing can be shown.
fn namespaces_are_allowed() -> bool {
    let tried = Command::new("unshare")
        .args(NAMESPACES)
        .arg("true")
        .output();
    let allowed = tried.is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("skipped: this machine allows no namespaces (unshare --user --mount --uts)");
    }
    allowed
}

/// `lethe serve` in a container that sees `home` where the deployment is, and the HSM's socket.
struct Container {
    process: Child,
    log: PathBuf,
    listen: std::net::SocketAddr,
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Container {
    fn start(dev: &Dev, home: &Path, host: &str) -> Self {
        let [listen, ops] = free_addresses();
        let text = std::fs::read_to_string(home.join("lethe.toml")).unwrap();
        let lines = text.lines().map(|line| match line.split(" = ").next() {
            Some("listen") => format!("listen = \"{listen}\""),
            Some("ops_listen") => format!("ops_listen = \"{ops}\""),
            _ => line.to_owned(),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        std::fs::write(home.join("lethe.toml"), text).unwrap();
        let log = dev.scratch().join(format!("{host}.log"));
        let (empty, said) = (dev.scratch().join("empty"), File::create(&log).unwrap());
        File::create(&empty).unwrap();
        let script = r#"set -e
            mount --make-rprivate /
            hostname "$HOST"
            [ ! -e /etc/machine-id ] || mount --bind "$EMPTY" /etc/machine-id
            if [ "$SEEN" != "$REAL" ]; then
                mkdir -p "$REAL/hsm"
                mount --bind "$SEEN/hsm" "$REAL/hsm"
                mount --rbind "$REAL" "$SEEN"
            fi
            cd /
            exec "$LETHE" serve --config "$SEEN/lethe.toml""#;
        let process = Command::new("unshare")
            .args(NAMESPACES)
            .args(["sh", "-c", script])
            .env("HOST", host)
            .env("EMPTY", empty)
            .env("REAL", home)
            .env("SEEN", dev.dir())
            .env("LETHE", binary("lethe"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self {
            process,
            log,
            listen,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// One that has started, and a client of it.
    fn serving(dev: &mut Dev, home: &Path, host: &str) -> (Self, Api) {
        let mut container = Self::start(dev, home, host);
        container.ready();
        dev.listen = container.listen;
        (container, dev.api(Role::MessageServer))
    }

    fn ready(&mut self) {
        let ready = until(|| {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}\n{}", self.log());
            self.log().contains("lethe ready").then_some(())
        });
        assert!(ready.is_some(), "not ready:\n{}", self.log());
    }

    fn ended(&mut self) -> ExitStatus {
        let ended = until(|| self.process.try_wait().unwrap());
        ended.unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
    }

    /// Must halt, and say why.
    fn halts(&mut self, reason: &str) {
        let status = self.ended();
        let log = self.log();
        assert_eq!(status.code(), Some(3), "{log}");
        assert!(log.lines().last().unwrap().contains(reason), "{log}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.ended().success(), "{}", self.log());
    }

    fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }
}

/// A stopped deployment, and its HSM by itself.
fn deployment() -> (Dev, Daemon) {
    let mut dev = Dev::start();
    dev.stop();
    let device = dev.serve_device();
    (dev, device)
}

/// Everything but the HSM.
fn copy_folder(dev: &Dev, name: &str) -> PathBuf {
    let to = dev.scratch().join(name);
    let copied = Command::new("cp")
        .arg("-r")
        .arg(dev.dir())
        .arg(&to)
        .status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(to.join("hsm")).unwrap();
    to
}

/// A copy of the database as it is served now, in a folder like the deployment's.
async fn clone_of(dev: &Dev, name: &str) -> PathBuf {
    let clone = copy_folder(dev, name);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        // Not all are there.
        let _ = std::fs::remove_file(clone.join(format!("lethe.db{suffix}")));
    }
    copy(dev, &clone.join("lethe.db")).await;
    clone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_is_started_beside_production_halts_and_changes_nothing() {
    if !namespaces_are_allowed() {
        return;
    }
    let (mut dev, _device) = deployment();
    let home = dev.dir();
    let (production, api) = Container::serving(&mut dev, &home, "one");
    let room = issued(&api, "room").await;
    let kept = issued(&api, "kept").await;
    let clone = clone_of(&dev, "clone").await;
    let before = dev.objects();
    for host in ["two", "one"] {
        let mut beside = Container::start(&dev, &clone, host);
        beside.halts("it answered");
        assert_eq!(dev.objects(), before);
        api.unwrap("chat", "kept", &kept).await.ok(200);
    }
    api.shred("chat", "room").await.ok(200);
    let mut late = Container::start(&dev, &clone, "two");
    late.halts("does not open");
    refused(&api.unwrap("chat", "room", &room).await, 410, "shredded");
    api.unwrap("chat", "kept", &kept).await.ok(200);
    production.stop();
    // The claim is given up, and still the clone has fallen behind.
    let mut alone = Container::start(&dev, &clone, "two");
    alone.halts("does not open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_made_anew_with_its_volume_goes_on() {
    if !namespaces_are_allowed() {
        return;
    }
    let (mut dev, _device) = deployment();
    let mut homes = vec![dev.dir()];
    let (first, api) = Container::serving(&mut dev, &homes[0], "first");
    let kept = issued(&api, "kept").await;
    first.kill();
    // The same files on the same kernel; another name, and no time to wait.
    let (again, api) = Container::serving(&mut dev, &homes[0], "again");
    assert!(!again.log().contains("waiting"), "{}", again.log());
    api.unwrap("chat", "kept", &kept).await.ok(200);
    again.stop();
    // The files of another volume, as after a move to another machine: it was stopped in order.
    homes.push(copy_folder(&dev, "moved"));
    let (moved, api) = Container::serving(&mut dev, &homes[1], "moved");
    assert!(!moved.log().contains("waiting"), "{}", moved.log());
    api.unwrap("chat", "kept", &kept).await.ok(200);
    moved.kill();
    // Not stopped in order: nobody answers.
    homes.push(dev.scratch().join("lost"));
    let renamed = std::fs::rename(&homes[1], &homes[2]);
    renamed.unwrap();
    std::fs::copy(homes[2].join("lethe.db"), homes[2].join("copy")).unwrap();
    std::fs::rename(homes[2].join("copy"), homes[2].join("lethe.db")).unwrap();
    let (lost, api) = Container::serving(&mut dev, &homes[2], "lost");
    assert!(lost.log().contains("nobody answered"), "{}", lost.log());
    api.unwrap("chat", "kept", &kept).await.ok(200);
    api.shred("chat", "kept").await.ok(200);
    refused(&api.unwrap("chat", "kept", &kept).await, 410, "shredded");
    lost.stop();
    // What was left behind has fallen behind, and does not come back by a takeover.
    let mut old = Container::start(&dev, &homes[0], "old");
    old.halts("does not open");
    let refused = takeover(&dev.dir().join("lethe.toml"), &["--yes"]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_that_was_stopped_for_too_long_serves_no_key_and_halts() {
    if !namespaces_are_allowed() {
        return;
    }
    let (mut dev, _device) = deployment();
    let home = dev.dir();
    let (mut production, asleep) = Container::serving(&mut dev, &home, "one");
    let room = issued(&asleep, "room").await;
    let kept = issued(&asleep, "kept").await;
    let clone = clone_of(&dev, "clone").await;
    production.signal(Signal::STOP);
    let (taken, api) = Container::serving(&mut dev, &clone, "two");
    assert!(taken.log().contains("nobody answered"), "{}", taken.log());
    api.shred("chat", "room").await.ok(200);
    // It waits in the socket of who sleeps.
    let late = tokio::spawn({
        let body = json!({ "conversation": "room", "wrapped_key": room });
        async move {
            asleep
                .sent("/v1/keyspaces/chat/data-keys/unwrap", &body)
                .await
        }
    });
    production.signal(Signal::CONT);
    production.halts("claimed by another store");
    // Its connection may have ended without an answer.
    if let Some((status, answer)) = late.await.unwrap() {
        assert_eq!((status, answer["code"].as_str()), (503, Some("lease_lost")));
    }
    eventually("the clone serves on", async || {
        api.unwrap("chat", "kept", &kept).await.status == 200
    })
    .await;
    refused(&api.unwrap("chat", "room", &room).await, 410, "shredded");
}
