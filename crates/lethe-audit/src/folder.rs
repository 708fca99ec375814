//! The folder of segments: its lock and its names.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use crate::segment::Tampered;

/// Owner only.
pub(crate) const MODE: u32 = 0o600;

/// The segments of one log; nobody else writes here while it lives.
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder itself, wherever it may be moved.
    folder: File,
    lock: File,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let folder = Self {
            folder: File::open(path)?,
            lock: lock(path)?,
            path: path.to_owned(),
        };
        // Segments that were in the making hold no record.
        for entry in folder.path.read_dir()? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "draft")
            {
                std::fs::remove_file(path)?;
            }
        }
        Ok(folder)
    }

    /// Whether the folder is still the one at its place: another one may be mounted over it.
    pub(crate) fn check(&self) -> io::Result<()> {
        let ours = self.folder.metadata()?;
        let there = std::fs::metadata(&self.path)?;
        if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) {
            return Ok(());
        }
        Err(Tampered::error(
            "another folder is in the place of the audit log's: it was moved, or something is mounted over it",
        ))
    }

    /// The lock again, when the folder was deleted and came back. While the one with the records
    /// is elsewhere no other takes its place.
    pub(crate) fn relock(&mut self) -> io::Result<()> {
        if self.folder.metadata()?.nlink() == 0 {
            self.folder = File::open(&self.path)?;
        }
        self.check()?;
        let held = self.lock.metadata()?;
        let there = std::fs::metadata(self.path.join(LOCK));
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            self.lock = lock(&self.path)?;
        }
        Ok(())
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("audit-{number:08}.jsonl"))
    }

    /// A name that no reader of the log looks at; a segment in the making.
    pub(crate) fn draft(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.draft"))
    }

    /// The highest number in use.
    pub(crate) fn newest(&self) -> io::Result<Option<u64>> {
        let mut newest = None;
        for entry in self.path.read_dir()? {
            newest = newest.max(number(&entry?.file_name().to_string_lossy()));
        }
        Ok(newest)
    }

    /// Gives a draft its number, durably; refused when the number is taken.
    pub(crate) fn publish(&self, draft: &Path, number: u64) -> io::Result<PathBuf> {
        let path = self.segment(number);
        rustix::fs::renameat_with(CWD, draft, CWD, &path, RenameFlags::NOREPLACE)?;
        File::open(&self.path)?.sync_all()?;
        Ok(path)
    }
}

const LOCK: &str = "lock";

fn lock(folder: &Path) -> io::Result<File> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(MODE)
        .open(folder.join(LOCK))?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => {
            io::Error::other("another process writes this audit log")
        }
        std::fs::TryLockError::Error(error) => error,
    })?;
    Ok(lock)
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("audit-")?
        .strip_suffix(".jsonl")?
        .parse()
        .ok()
}
