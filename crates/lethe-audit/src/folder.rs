//! The folder of segments: its lock and its names.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use crate::segment::Tampered;

/// File mode: only the owner may read.
pub(crate) const MODE: u32 = 0o600;

/// The segments of one log. Nobody else writes in the folder while this exists.
pub(crate) struct Folder {
    path: PathBuf,
    /// The open folder. It stays the same folder when it is moved.
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
        // Removes files that were being made: they have no record.
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

    /// Whether the folder is still the one at its path: another one may be mounted over it.
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

    /// Takes the lock again if the folder was deleted and made again. While the folder with the records
    /// is elsewhere, no other one is used.
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

    /// The name of a file that is being made, which readers of the log ignore.
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

    /// Gives a draft its number, durably. Refused if the number is used.
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
