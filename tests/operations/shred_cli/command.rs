//! `lethe` against the scripted service, and what it prints.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::scripted::{Service, Who};

pub(crate) fn lethe(service: &Service, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command
        .args(words)
        .args(["--server", &service.address])
        .arg("--ca")
        .arg(service.pki.ca())
        .arg("--cert")
        .arg(service.pki.certificate(Who::Known))
        .arg("--key")
        .arg(service.pki.key(Who::Known))
        .stdin(Stdio::null());
    command
}

pub(crate) async fn run(service: &Service, words: &[&str]) -> Output {
    let mut command = lethe(service, words);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
