//! Runs the programs of `tests/independent`, which share nothing with the service but `docs/FORMATS.md`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// A Python that has the pinned `cryptography`.
fn python() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = Command::new(root.join("scripts/python-environment"))
            .arg("cryptography")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success(), "{error}");
        Path::new(String::from_utf8(found.stdout).unwrap().trim()).join("python3")
    })
}

/// Runs one of them to its end.
pub fn run(program: &str, words: impl IntoIterator<Item = OsString>) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent");
    Command::new(python())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(folder.join(program))
        .args(words)
        .output()
        .unwrap()
}

/// The JSON lines that it prints when it succeeds.
pub fn lines(program: &str, words: impl IntoIterator<Item = OsString>) -> Vec<Value> {
    let output = run(program, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {error}");
    eprint!("{error}");
    json_lines(&output.stdout)
}

/// JSON lines, parsed.
pub fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let parsed = text.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().unwrap()
}

/// Writes one line for each, for a program to read.
pub fn write_lines<T: ToString>(path: &Path, lines: impl IntoIterator<Item = T>) {
    let lines: Vec<String> = lines.into_iter().map(|line| line.to_string()).collect();
    std::fs::write(path, lines.join("\n")).unwrap();
}
