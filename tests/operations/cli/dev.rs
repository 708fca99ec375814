//! `lethe dev` where something is in its way.

use std::net::SocketAddr;
use std::process::{Command, Output};

use rustix::process::getpgid;

use crate::support::{Dev, Role, eventually, lethe, until};

fn status(dev: &Dev) -> Output {
    let mut command = lethe(&["status", "--output", "json"]);
    command.arg("--dir").arg(dev.dir()).output().unwrap()
}

fn error(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_folder_that_is_served_is_left_alone() {
    let mut dev = Dev::start();
    let dir = dev.dir();
    let config = || std::fs::read(dir.join("lethe.toml")).unwrap();
    let before = config();
    let second = || -> Command {
        let mut command = lethe(&["dev", "--listen", "127.0.0.1:0"]);
        command.args(["--ops-listen", "127.0.0.1:0", "--dir"]);
        command.arg(&dir);
        command
    };
    let output = second().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("is served already"), "{output:?}");
    assert_eq!(config(), before);
    assert!(status(&dev).status.success());
    dev.stop();

    // As production serves it.
    let device = dev.serve_device();
    let mut serve = lethe(&["serve", "--config"])
        .arg(dev.dir().join("lethe.toml"))
        .spawn()
        .unwrap();
    until(|| std::net::TcpStream::connect(dev.listen).ok()).unwrap();
    let output = second().output().unwrap();
    assert!(error(&output).contains("is served already"), "{output:?}");
    assert_eq!(config(), before);
    serve.kill().unwrap();
    serve.wait().unwrap();
    drop(device);
    dev.run();
}

#[test]
fn commands_reach_a_service_that_listens_everywhere() {
    for everywhere in ["0.0.0.0", "::"] {
        let mut dev = Dev::stopped();
        dev.listen = SocketAddr::new(everywhere.parse().unwrap(), dev.listen.port());
        dev.run();
        let output = status(&dev);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_path_that_is_too_long_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("d".repeat(110));
    let output = lethe(&["dev", "--dir"]).arg(&short).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("bytes too long"), "{output:?}");
    assert!(!short.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_is_said_and_started_again() {
    let mut dev = Dev::start();
    let (server, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let first = dev.device_pid().unwrap();
    // Not reached by the Ctrl-C that stops the service.
    assert_eq!(getpgid(Some(first)).unwrap(), first);
    dev.kill_device();
    until(|| {
        dev.log()
            .contains("hsm-sim has ended (signal: 9")
            .then_some(())
    })
    .unwrap();
    server.issue("chat", "room").await.ok(201);
    let made = async || operator.set_keyspace("new", "48h", "1h").await.status < 300;
    eventually("the HSM is back", made).await;
    assert_ne!(dev.device_pid().unwrap(), first);

    dev.take_device();
    server.issue("chat", "room").await.ok(201);
    // The device is looked at every five seconds. Nothing is wrong with the configuration.
    let hsm_state = || {
        let status = String::from_utf8(status(&dev).stdout).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let hsm = status["hsm"].as_str().unwrap().to_owned();
        hsm.contains("cannot be reached").then_some(hsm)
    };
    let hsm = until(hsm_state).unwrap();
    assert!(!hsm.contains("no token"), "{hsm}");
    // It is not waited for at the end.
    dev.stop();
}
