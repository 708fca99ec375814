//! What a seizure takes at one moment: the inside of the HSM, and every copy made so far.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lethe::node::clock::SystemClock;
use lethe_core::ports::Clock;
use lethe_core::time::Timestamp;

use super::forgetting::settle;
use super::haul::{Answered, Haul, Kept};
use super::load::Load;
use crate::support::independent as program;

pub struct Moment {
    pub at: Timestamp,
    pub folder: PathBuf,
    dump: PathBuf,
    keys: usize,
    answers: usize,
    copies: usize,
}

impl Moment {
    /// Stops all hands for it.
    pub async fn seize(load: &Load<'_>) -> Self {
        let _still = load.gate.write().await;
        settle(load).await;
        Self::glimpse(load).await
    }

    /// While all goes on: only what was answered before it is certain to be gone. The copy comes
    /// before the dump: what is forgotten in the copy is gone from the HSM.
    pub async fn glimpse(load: &Load<'_>) -> Self {
        let answers = load.haul.lock().unwrap().answers.len();
        let folder = Self::copy(load).await;
        let dump = folder.join("dump.json");
        std::fs::write(&dump, load.dev.hsm_sim(&["dump", "--output", "json"])).unwrap();
        let haul = load.haul.lock().unwrap();
        Self {
            at: SystemClock.now(),
            folder,
            dump,
            keys: haul.keys.len(),
            answers,
            copies: haul.copies.len(),
        }
    }

    /// What a thief or a backup takes: the files as they are, whatever is being written.
    pub async fn copy(load: &Load<'_>) -> PathBuf {
        let (from, to) = (load.dev.dir(), next_folder(load));
        let folder = to.clone();
        let copied = tokio::task::spawn_blocking(move || copy_files(&from, &to));
        copied.await.unwrap();
        folder
    }

    pub fn keys<'h>(&self, haul: &'h Haul) -> &'h [Kept] {
        &haul.keys[..self.keys]
    }

    pub fn answers<'h>(&self, haul: &'h Haul) -> &'h [Answered] {
        &haul.answers[..self.answers]
    }

    /// With copies that were made later, too: they must not help.
    pub fn and_later_copies(&mut self, haul: &Haul) {
        self.copies = haul.copies.len();
        self.keys = haul.keys.len();
    }

    /// What opens of all keys that there were.
    pub fn opened(&self, haul: &Haul) -> Vec<Option<String>> {
        let wrapped = self.folder.join("wrapped.jsonl");
        program::write_lines(&wrapped, self.keys(haul).iter().map(Kept::stored));
        let words = [
            "--dump".into(),
            self.dump.clone().into(),
            "--wrapped".into(),
            wrapped.into(),
        ];
        let copies = haul.copies[..self.copies].iter().map(OsString::from);
        let lines = program::lines("reader.py", words.into_iter().chain(copies));
        assert_eq!(lines.len(), self.keys);
        let data_key = |line: &serde_json::Value| line["data_key"].as_str().map(str::to_owned);
        lines.iter().map(data_key).collect()
    }
}

fn next_folder(load: &Load<'_>) -> PathBuf {
    let copies = &mut load.haul.lock().unwrap().copies;
    let folder = load.dev.scratch().join(format!("copy-{}", copies.len()));
    copies.push(folder.clone());
    folder
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in ["lethe.db-wal", "lethe.db"] {
        let copied = std::fs::copy(from.join(name), to.join(name));
        assert!(copied.is_ok() || name == "lethe.db-wal");
    }
}
