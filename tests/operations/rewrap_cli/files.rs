//! Files of wrapped keys, the command that rewraps them, and what it says.

use std::path::PathBuf;
use std::process::{Command, Output};

use lethe_core::wrapped_key::{Header, WrappedKey};
use serde_json::{Value, json};

use crate::support::{Api, Dev, lethe};

/// Files of one test.
pub(crate) struct Files(pub(crate) tempfile::TempDir);

impl Files {
    pub(crate) fn with(text: impl AsRef<[u8]>) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.path("in"), text).unwrap();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, dev: &Dev, keyspace: &str, words: &[&str]) -> Command {
        let mut command = lethe(&["rewrap", keyspace, "--output", "json"]);
        command.arg("--in").arg(self.path("in"));
        command.arg("--out").arg(self.path("out"));
        command.arg("--dir").arg(dev.dir()).args(words);
        command
    }

    pub(crate) fn rewrap(&self, dev: &Dev, keyspace: &str, words: &[&str]) -> Output {
        self.command(dev, keyspace, words).output().unwrap()
    }
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The result object.
pub(crate) fn result_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no result: {}", err(output)))
}

pub(crate) fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", err(output));
    assert_eq!(err(output), "");
    result_of(output)
}

/// Wrapped keys of conversations c0, c1, ...
pub(crate) async fn issued(api: &Api, keyspace: &str, count: usize) -> Vec<String> {
    let path = format!("/v1/keyspaces/{keyspace}/data-keys");
    let mut keys = Vec::new();
    for begin in (0..count).step_by(1_000) {
        let numbers = begin..count.min(begin + 1_000);
        let items: Vec<_> = numbers
            .map(|n| json!({"conversation": format!("c{n}"), "plaintext": false}))
            .collect();
        let answer = api.post(&path, &json!({ "items": items })).await.ok(200);
        let items = answer["items"].as_array().unwrap().iter();
        keys.extend(items.map(|item| item["wrapped_key"].as_str().unwrap().to_owned()));
    }
    keys
}

pub(crate) async fn data_key(api: &Api, conversation: &str, wrapped: &str) -> Value {
    let mut opened = api.unwrap("chat", conversation, wrapped).await.ok(200);
    opened["data_key"].take()
}

pub(crate) fn line(n: usize, wrapped: &str) -> String {
    format!(
        "{{\"row\": {n}.0, \"wrapped_key\": \"{wrapped}\",\"conversation\":\"c{n}\", \"tags\":[]}}\n"
    )
}

pub(crate) fn lines(keys: &[String]) -> String {
    let lines = keys.iter().enumerate();
    lines.map(|(n, key)| line(n, key)).collect()
}

pub(crate) fn wrapped(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap();
    value["wrapped_key"].as_str().unwrap().to_owned()
}

pub(crate) fn header(wrapped: &str) -> Header {
    wrapped.parse::<WrappedKey>().unwrap().header()
}

/// Every line in its place with nothing but its key changed, and that to `version`.
pub(crate) fn assert_rewrapped(before: &[String], after: &str, version: u32) {
    let after: Vec<_> = after.split_inclusive('\n').collect();
    assert_eq!(after.len(), before.len());
    for (n, (old, new)) in before.iter().zip(after).enumerate() {
        let key = wrapped(new);
        assert_eq!(new, line(n, &key));
        assert_eq!(header(&key).version.number(), version);
        assert_eq!(
            header(&key).expiry,
            header(old).expiry,
            "its life is not stretched"
        );
    }
}
