//! Standard output and error that are full, closed or gone are exit codes, and no panics.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Dev, lethe, until};

/// Every command; `#` is the number of the run, `D` the development folder, `S` a folder of the test.
const COMMANDS: &[&str] = &[
    "--help",
    "--version",
    "status --dir D",
    "status --dir /nonexistent",
    "keyspace list --dir D",
    "keyspace show chat --dir D",
    "keyspace set new-# --dir D",
    "keyspace erase new-# --yes --dir D",
    "keyspace drop-version chat 1 --yes --dir D",
    "shred chat a-# --dir D",
    "shred chat --in S/list --dir D",
    "shred chat --in S/list --dry-run --dir D",
    "rotate keyspace chat --dir D",
    "rotate root --dir D",
    "rotate hsm --to D/lethe.toml --dir D",
    "approve --dir D",
    "withdraw 0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b --dir D",
    "clock confirm --dir D",
    "rewrap chat --in S/keys --dry-run --dir D",
    "keys export --dir D",
    "receipt verify S/nothing --dir D",
    "pki ca --out S/ca-#",
    "pki issue --ca D/pki --out S/issued-# --server localhost",
    "pki revoke --ca D/pki",
    "openapi",
    "init --config D/lethe.toml",
    "takeover --config D/lethe.toml",
    "serve --config D/lethe.toml",
    "dev --dir D",
];

struct Stage(Dev, u32);

impl Stage {
    /// Another run of a command, its streams as they are given.
    fn run(&mut self, words: &str, streams: impl Fn(&mut Command)) -> Output {
        self.1 += 1;
        let (dir, scratch) = (self.0.dir(), self.0.scratch().to_owned());
        let words = words.split(' ').map(|word| {
            let word = word.replace('#', &self.1.to_string());
            match word.split_at(1) {
                ("D", "") => dir.to_str().unwrap().to_owned(),
                ("D", rest) if rest.starts_with('/') => format!("{}{rest}", dir.display()),
                ("S", rest) if rest.starts_with('/') => format!("{}{rest}", scratch.display()),
                _ => word,
            }
        });
        let words: Vec<_> = words.collect();
        let mut command = lethe(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        streams(&mut command);
        command.spawn().unwrap().wait_with_output().unwrap()
    }
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reader is gone.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn no_command_panics_when_a_stream_does_not_take_what_it_says() {
    let dev = Dev::start();
    std::fs::write(dev.scratch().join("list"), "b\nc\n").unwrap();
    std::fs::write(dev.scratch().join("keys"), "{}\n").unwrap();
    std::fs::write(dev.scratch().join("nothing"), "{}\n").unwrap();
    let mut stage = Stage(dev, 0);
    for words in COMMANDS {
        let well = stage.run(words, |_| {});
        let code = well.status.code().unwrap();
        for (name, output) in [
            ("full", stage.run(words, |it| _ = it.stdout(full()))),
            ("gone", stage.run(words, |it| _ = it.stdout(gone()))),
        ] {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(!errors.contains("panicked"), "{words}: {errors}");
            let expected = if well.stdout.is_empty() {
                code
            } else {
                code.max(1)
            };
            assert_eq!(
                output.status.code(),
                Some(expected),
                "{words}, output {name}: {errors}"
            );
        }
        for (name, output) in [
            ("full", stage.run(words, |it| _ = it.stderr(full()))),
            ("gone", stage.run(words, |it| _ = it.stderr(gone()))),
        ] {
            assert_eq!(output.status.code(), Some(code), "{words}, errors {name}");
        }
    }
}

#[test]
fn a_service_goes_on_when_nobody_takes_what_it_says() {
    let mut dev = Dev::start();
    dev.stop();
    let mut child = dev.command().stdout(full()).stderr(full()).spawn().unwrap();
    until(|| std::net::TcpStream::connect(dev.listen).ok()).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = until(|| child.try_wait().unwrap()).unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn empty_variables_are_not_set() {
    let dev = Dev::start();
    let mut command = lethe(&["status", "--output", "json", "--dir"]);
    command.arg(dev.dir());
    for name in ["SERVER", "CA", "CERT", "KEY", "DIR"] {
        command.env(format!("LETHE_{name}"), "");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
