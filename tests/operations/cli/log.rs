//! A log that nobody reads stops nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Dev, Role, eventually, until};

/// A pipe without room, and its reading end.
fn full_pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_neither_shreds_nor_the_end() {
    let mut dev = Dev::start();
    dev.stop();
    // A line for each connection and more.
    dev.edit(|text| format!("{text}\n[log]\nlevel = \"trace\"\n"));
    let (mut reader, writer) = full_pipe();
    let mut child = dev.command().stderr(Stdio::from(writer)).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert!(ready.starts_with("lethe ready"), "{ready}");

    let server = dev.api(Role::MessageServer);
    eventually("lines are lost, and what is asked is done", async || {
        for _ in 0..50 {
            server.issue("chat", "room").await.ok(201);
        }
        let body = serde_json::json!({ "conversation": "room" });
        let shred = server.post("/v1/keyspaces/chat/shreds", &body).await;
        assert!(shred.ok(200)["receipt"].is_object());
        dev.metric("lethe_log_lines_lost_total").await > 0
    })
    .await;

    // Once somebody reads again the log says what it lost.
    let read = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let operator = dev.api(Role::Operator);
    operator.get("/v1/status").await.ok(200);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = until(|| child.try_wait().unwrap()).expect("SIGTERM ends it");
    assert!(ended.success(), "{ended}");
    let text = read.join().unwrap();
    assert!(text.contains("lines of this log were lost"));
}

#[test]
fn nobody_reads_and_sigterm_ends_it_all_the_same() {
    let mut dev = Dev::start();
    dev.stop();
    let (reader, writer) = full_pipe();
    let (unread, out) = full_pipe();
    let mut child = dev
        .command()
        .stderr(Stdio::from(writer))
        .stdout(Stdio::from(out))
        .spawn()
        .unwrap();
    // It answers, though nobody reads the line that says so.
    let answers = || std::net::TcpStream::connect(dev.listen).ok();
    until(answers).expect("it is ready");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = until(|| child.try_wait().unwrap()).expect("SIGTERM ends it");
    assert!(ended.success(), "{ended}");
    drop((reader, unread));
}
