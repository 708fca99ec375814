//! The daemon killed at any moment: what it acknowledged is there, what it destroyed is not.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use hsm_sim::constants::{CKA_TOKEN, CKA_VALUE_LEN, CKM_AES_KEY_GEN};
use hsm_sim::wire::{
    Answer, Attribute, Mechanism, Request, Response, Secret, UserType, receive, send,
};

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hsm-sim"))
}

/// A daemon that ends with this process, also when a test fails.
fn serve(dir: &Path) -> Child {
    let mut child = command()
        .args(["serve", "--exit-on-stdin-close", "--dir"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("hsm-sim ready "), "{line}");
    child
}

fn init(dir: &Path) {
    let (pin, token) = (dir.join("pin"), dir.join("token"));
    std::fs::write(&pin, "12345678\n").unwrap();
    let mut init = command();
    init.args(["init", "--label", "t", "--dir"])
        .arg(token)
        .arg("--so-pin-file")
        .arg(&pin)
        .arg("--pin-file")
        .arg(&pin);
    assert!(init.status().unwrap().success());
}

/// `None` when the daemon died before it answered.
fn call(stream: &mut UnixStream, request: &Request) -> Option<Answer> {
    send(stream, request).ok()?;
    Some(
        receive::<Response>(stream)
            .ok()?
            .expect("the call succeeds"),
    )
}

fn log_in(dir: &Path) -> (UnixStream, u64) {
    let mut stream = UnixStream::connect(dir.join("hsm.sock")).unwrap();
    let Some(Answer::Session(session)) =
        call(&mut stream, &Request::OpenSession { read_write: true })
    else {
        panic!()
    };
    let pin = Secret(b"12345678".to_vec());
    call(
        &mut stream,
        &Request::Login {
            session,
            user: UserType::User,
            pin,
        },
    )
    .unwrap();
    (stream, session)
}

fn generate(session: u64) -> Request {
    let template = vec![
        Attribute {
            kind: CKA_TOKEN,
            value: vec![1],
        },
        Attribute {
            kind: CKA_VALUE_LEN,
            value: 32u64.to_le_bytes().to_vec(),
        },
    ];
    Request::GenerateKey {
        session,
        mechanism: Mechanism {
            kind: CKM_AES_KEY_GEN,
            gcm: None,
        },
        template,
    }
}

#[test]
fn acknowledged_work_survives_kill_9() {
    let temp = tempfile::tempdir().unwrap();
    init(temp.path());
    let dir = temp.path().join("token");
    let (mut alive, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..24 {
        let mut child = serve(&dir);
        let (mut stream, session) = log_in(&dir);
        let (acknowledged, answers) = channel();
        // While the next call is under way, however fast this machine is.
        let killer = std::thread::spawn(move || {
            answers.iter().nth(round);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        while let Some(Answer::Object(handle)) = call(&mut stream, &generate(session)) {
            alive.insert(handle);
            // Nobody listens any more when the killing has begun.
            let _ = acknowledged.send(());
            if handle % 3 == 0 {
                // In doubt until answered: neither owed nor forbidden.
                alive.remove(&handle);
                match call(
                    &mut stream,
                    &Request::DestroyObject {
                        session,
                        object: handle,
                    },
                ) {
                    Some(_) => dead.insert(handle),
                    None => break,
                };
            }
        }
        killer.join().unwrap();
        let left = dumped(&dir);
        assert!(alive.is_subset(&left) && dead.is_disjoint(&left));
    }
    let mut child = serve(&dir);
    let (mut stream, session) = log_in(&dir);
    let Some(Answer::Objects(found)) = call(
        &mut stream,
        &Request::FindObjects {
            session,
            template: vec![],
        },
    ) else {
        panic!()
    };
    let found: BTreeSet<u64> = found.into_iter().collect();
    println!("{} alive, {} destroyed", alive.len(), dead.len());
    assert!(!alive.is_empty() && !dead.is_empty());
    assert!(alive.is_subset(&found) && dead.is_disjoint(&found));
    assert_eq!(dumped(&dir), found);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Handles of all objects that `hsm-sim dump` shows.
fn dumped(dir: &Path) -> BTreeSet<u64> {
    let dump = command()
        .arg("dump")
        .arg("--dir")
        .arg(dir)
        .output()
        .unwrap();
    assert!(dump.status.success());
    let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).unwrap();
    let objects = dump["objects"].as_array().unwrap();
    let handle = |object: &serde_json::Value| object["handle"].as_u64().unwrap();
    objects.iter().map(handle).collect()
}

#[test]
fn it_ends_with_its_parents_pipe_and_leaves_no_socket() {
    let temp = tempfile::tempdir().unwrap();
    init(temp.path());
    let dir = temp.path().join("token");
    let mut child = serve(&dir);
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(!dir.join("hsm.sock").exists());
}

#[test]
fn a_second_daemon_fails_at_once_and_harms_nothing() {
    let temp = tempfile::tempdir().unwrap();
    init(temp.path());
    let dir = temp.path().join("token");
    let mut child = serve(&dir);
    let mut second = command();
    let second = second.arg("serve").arg("--dir").arg(&dir).output().unwrap();
    assert!(!second.status.success());
    let error = String::from_utf8(second.stderr).unwrap();
    let expected = format!("hsm-sim: another hsm-sim serves {}\n", dir.display());
    assert_eq!(error, expected);
    log_in(&dir);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_crash_after_commit_answers_nothing_and_keeps_the_key() {
    let temp = tempfile::tempdir().unwrap();
    init(temp.path());
    let dir = temp.path().join("token");
    let mut child = serve(&dir);
    let (mut stream, session) = log_in(&dir);
    let mut fault = command();
    fault
        .args(["fault", "set", "crash-after-commit", "--dir"])
        .arg(&dir);
    assert!(fault.status().unwrap().success());
    assert_eq!(call(&mut stream, &generate(session)), None);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    let mut child = serve(&dir);
    let (mut stream, session) = log_in(&dir);
    let find = Request::FindObjects {
        session,
        template: vec![],
    };
    assert_eq!(call(&mut stream, &find), Some(Answer::Objects(vec![1])));
    child.kill().unwrap();
    child.wait().unwrap();
}
