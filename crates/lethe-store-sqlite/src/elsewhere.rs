//! Looks at the path in a claim, as seen from this machine.

use std::fs::{OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::files;

/// What is at the path of another database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// No file is at this path.
    Gone(PathBuf),
    /// A database is there, and nobody has it open.
    Left(PathBuf),
    /// A database is there, and a process has it open.
    Served(PathBuf),
}

/// Looks at another database. Changes nothing.
#[must_use]
pub fn elsewhere(path: &Path) -> Elsewhere {
    let found = path.to_owned();
    if is_locked(path) {
        Elsewhere::Served(found)
    } else if path.symlink_metadata().is_ok() {
        Elsewhere::Left(found)
    } else {
        Elsewhere::Gone(found)
    }
}

/// A lock that cannot be checked counts as held.
fn is_locked(database: &Path) -> bool {
    let path = files::beside(database, ".lock");
    match OpenOptions::new().write(true).open(path) {
        Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_place_is_gone_left_or_served() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a:b.db");
        let look = || elsewhere(&path);
        assert_eq!(look(), Elsewhere::Gone(path.clone()));
        std::fs::write(&path, "x").unwrap();
        assert_eq!(look(), Elsewhere::Left(path.clone()));
        let lock = files::lock(&path).unwrap();
        assert_eq!(look(), Elsewhere::Served(path.clone()));
        drop(lock);
        assert_eq!(look(), Elsewhere::Left(path.clone()));
    }
}
