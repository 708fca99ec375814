//! The files around the database: its folder, its lock, its permissions.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lethe_core::ports::StoreError;

/// Owner only: bucket secrets are encrypted, yet nobody else has business here.
const MODE: u32 = 0o600;

/// The one absolute name of a database that is there.
pub(crate) fn existing(path: &Path) -> Result<PathBuf, StoreError> {
    let canonical = path.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            StoreError::Unavailable(format!("no database at {}", path.display()))
        }
        _ => unavailable("find", path, &error),
    })?;
    if canonical.is_file() {
        Ok(canonical)
    } else {
        Err(StoreError::Unavailable(format!(
            "{} is not a file",
            path.display()
        )))
    }
}

/// The absolute name of a database that is yet to be made.
pub(crate) fn future(path: &Path) -> Result<PathBuf, StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .ok_or_else(|| StoreError::Unavailable(format!("no file name in {}", path.display())))?;
    let folder = folder
        .canonicalize()
        .map_err(|error| unavailable("find", folder, &error))?;
    Ok(folder.join(name))
}

/// `path` with `suffix` appended to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Takes the process lock; it is held while the file is open, and a crash releases it.
pub(crate) fn lock(database: &Path) -> Result<File, StoreError> {
    let path = beside(database, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(MODE)
        .open(&path)
        .map_err(|error| unavailable("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(unavailable("lock", &path, &error)),
    }
}

/// Makes an empty draft in place of one that a crash may have left. SQLite gives its journal
/// files the permissions of the database, so they are right from the first byte.
pub(crate) fn start_draft(draft: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        remove_if_there(&beside(draft, suffix))?;
    }
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(MODE)
        .open(draft)
        .map_err(|error| unavailable("create", draft, &error))?;
    Ok(())
}

/// Gives a finished draft its name, durably. The caller holds the lock.
pub(crate) fn publish(draft: &Path, database: &Path) -> Result<(), StoreError> {
    let flush = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    flush(draft).map_err(|error| unavailable("flush", draft, &error))?;
    std::fs::rename(draft, database).map_err(|error| unavailable("rename", draft, &error))?;
    let folder = database.parent().unwrap_or(Path::new("/"));
    flush(folder).map_err(|error| unavailable("flush", folder, &error))
}

/// The files that hold what was committed; for the durability barrier.
///
/// The database is opened once, before SQLite does, and stays open: a process that closes *any* of
/// its descriptors of a file loses all POSIX locks on it, SQLite's too, and then another program
/// that looks at the database takes itself for the last one and removes the WAL.
#[derive(Debug)]
pub(crate) struct Durable {
    database: Arc<File>,
    path: PathBuf,
    /// Whether the folder's entries were flushed since the files were made.
    folder: AtomicBool,
}

impl Durable {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = File::open(path).map_err(|error| unavailable("open", path, &error))?;
        Ok(Self {
            database: Arc::new(database),
            path: path.to_owned(),
            folder: AtomicBool::new(false),
        })
    }

    /// Flushes the WAL, then the database, whatever SQLite did: a commit that a crash cut off is
    /// read back from the system's memory and may not be on the disk. Fails when either file is
    /// not the one that SQLite writes to any more.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let (path, database) = (self.path.clone(), Arc::clone(&self.database));
        let first = !self.folder.load(Ordering::Acquire);
        let flushed = tokio::task::spawn_blocking(move || {
            same_file(&path, &database)?;
            // SQLite holds no locks on the WAL itself, so it may be opened anew.
            sync(&beside(&path, "-wal"))?;
            database
                .sync_all()
                .map_err(|error| unavailable("flush", &path, &error))?;
            match path.parent() {
                Some(folder) if first => sync(folder),
                _ => Ok(()),
            }
        });
        let flushed = flushed.await;
        flushed.map_err(|_| StoreError::Unavailable("flush: the task ended".into()))??;
        self.folder.store(true, Ordering::Release);
        Ok(())
    }
}

/// A database that was moved or replaced under us is not the one that a start would open.
fn same_file(path: &Path, open: &File) -> Result<(), StoreError> {
    let named = path.metadata();
    let named = named.map_err(|error| unavailable("find", path, &error))?;
    let open = open.metadata();
    let open = open.map_err(|error| unavailable("look at", path, &error))?;
    if (named.dev(), named.ino()) == (open.dev(), open.ino()) {
        return Ok(());
    }
    let why = format!("{} is another file than the one in use", path.display());
    Err(StoreError::Unavailable(why))
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| unavailable("flush", path, &error))
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(unavailable("remove", path, &error))
        }
        _ => Ok(()),
    }
}

fn unavailable(verb: &str, path: &Path, error: &Error) -> StoreError {
    StoreError::Unavailable(format!("cannot {verb} {}: {error}", path.display()))
}
