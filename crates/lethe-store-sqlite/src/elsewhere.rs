//! The place that a claim names, where that is on this machine.

use std::fs::{OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::files;

/// What is at the place of another database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// Of another machine, or of another kind of store: it cannot be looked at from here.
    OutOfSight,
    /// Nothing is there.
    Gone(PathBuf),
    /// A database that nobody has open.
    Left(PathBuf),
    /// Somebody has it open.
    Served(PathBuf),
}

/// Looks at the place that `instance` names, seen from this machine. Changes nothing.
#[must_use]
pub fn elsewhere(instance: &str, machine_id: &str) -> Elsewhere {
    let here = format!("sqlite:{machine_id}:");
    let Some(path) = instance.strip_prefix(&here) else {
        return Elsewhere::OutOfSight;
    };
    let path = PathBuf::from(path);
    if is_locked(&path) {
        Elsewhere::Served(path)
    } else if path.symlink_metadata().is_ok() {
        Elsewhere::Left(path)
    } else {
        Elsewhere::Gone(path)
    }
}

/// A lock that cannot be looked at counts as held.
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
        let instance = format!("sqlite:m1:{}", path.display());
        let look = || elsewhere(&instance, "m1");
        assert_eq!(look(), Elsewhere::Gone(path.clone()));
        std::fs::write(&path, "x").unwrap();
        assert_eq!(look(), Elsewhere::Left(path.clone()));
        let lock = files::lock(&path).unwrap();
        assert_eq!(look(), Elsewhere::Served(path.clone()));
        drop(lock);
        assert_eq!(look(), Elsewhere::Left(path));
        for other in ["sqlite:m2:/x", "sqlite:m1", "postgres:7", ""] {
            assert_eq!(elsewhere(other, "m1"), Elsewhere::OutOfSight, "{other}");
        }
    }
}
