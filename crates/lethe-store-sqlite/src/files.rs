//! The files around the database: its folder, its lock, its permissions.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use lethe_core::claim::{StoreKind, StoreLocation};
use lethe_core::ports::{Durability, StoreError, Strength};
use lethe_store_sql::place::boot_id;

use crate::open::SqliteStore;

/// Owner only: bucket secrets are encrypted, yet nobody else has business here.
const MODE: u32 = 0o600;

/// `statfs(2)`, `linux/magic.h`.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 8] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];

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

/// Takes the process lock; it is held while the file is open, and a crash releases it. A database
/// that is yet to be made has no other; one that is there is locked itself, see [`Durable`].
pub(crate) fn lock(database: &Path) -> Result<File, StoreError> {
    let path = beside(database, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(MODE)
        .open(&path)
        .map_err(|error| unavailable("open", &path, &error))?;
    take_lock(&file, &path)?;
    Ok(file)
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

/// Which file a name stands for. While it is held open no other file can get the same number.
type FileId = (u64, u64);

/// The files that hold what was committed, and the lock on them.
///
/// The database is opened once, before SQLite does, and stays open: a process that closes *any* of
/// its descriptors of a file loses all POSIX locks on it, SQLite's too, and then another program
/// that looks at the database takes itself for the last one and removes the WAL.
#[derive(Debug)]
pub(crate) struct Durable {
    /// Locked by `flock`, which is not among SQLite's locks: whoever deletes the lock file beside
    /// it, or comes by another name of it, still finds it in use.
    database: Arc<File>,
    /// The name that the configuration says, which may lead over symbolic links.
    named: PathBuf,
    path: PathBuf,
    /// What a start opens: names, and the files that they stood for. SQLite holds them open.
    opened: Vec<(PathBuf, FileId)>,
    /// Whether the folder's entries were flushed since the files were made.
    folder: AtomicBool,
}

impl Durable {
    pub(crate) fn open(named: &Path, path: &Path) -> Result<Self, StoreError> {
        // For writing, too: in a container's layers the first such opening makes another file.
        let database = match OpenOptions::new().read(true).write(true).open(path) {
            // What cannot be written is refused with SQLite's words.
            Err(error) if error.kind() != ErrorKind::NotFound => File::open(path),
            opened => opened,
        };
        let database = database.map_err(|error| unavailable("open", path, &error))?;
        take_lock(&database, path)?;
        refuse_network_file_system(&database, path)?;
        refuse_other_names(&database, path)?;
        let named = std::path::absolute(named);
        let named = named.map_err(|error| unavailable("find", path, &error))?;
        Ok(Self {
            database: Arc::new(database),
            named,
            path: path.to_owned(),
            opened: Vec::new(),
            folder: AtomicBool::new(false),
        })
    }

    /// SQLite has opened all its files: from now on they are compared.
    pub(crate) fn opened(&mut self) -> Result<(), StoreError> {
        let database = self.database.metadata();
        let database = database.map_err(|error| unavailable("look at", &self.path, &error))?;
        let database = (database.dev(), database.ino());
        // Not opened and closed: SQLite's POSIX locks are on the `-shm` file.
        let beside = |suffix| {
            let path = beside(&self.path, suffix);
            id(&path).map(|id| (path, id))
        };
        self.opened = vec![
            (self.named.clone(), database),
            (self.path.clone(), database),
            beside("-wal")?,
            beside("-shm")?,
        ];
        self.check()
    }

    /// Where the database is.
    pub(crate) fn location(&self) -> Result<StoreLocation, StoreError> {
        let found = self.database.metadata();
        let found = found.map_err(|error| unavailable("look at", &self.path, &error))?;
        Ok(StoreLocation {
            kind: StoreKind::Sqlite,
            boot: boot_id(),
            file: (found.dev(), found.ino()),
            path: self.path.display().to_string(),
        })
    }

    /// Fails when any file is not the one that a start would open: moved, replaced, or covered by
    /// another file system. A few calls that touch no disk.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        for (path, opened) in &self.opened {
            if id(path)? != *opened {
                let why = format!("{} is another file than the one in use", path.display());
                return Err(StoreError::Unavailable(why));
            }
        }
        Ok(())
    }

    /// Flushes the WAL, then the database, whatever SQLite did: a commit that a crash cut off is
    /// read back from the system's memory and may not be on the disk.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.check()?;
        let (path, database) = (self.path.clone(), Arc::clone(&self.database));
        let first = !self.folder.load(Ordering::Acquire);
        let flushed = tokio::task::spawn_blocking(move || {
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
        self.check()
    }
}

#[async_trait]
impl Durability for SqliteStore {
    /// There is one copy.
    async fn barrier(&self, _: Strength) -> Result<(), StoreError> {
        self.files.flush().await
    }

    /// This process has locked the database file.
    async fn confirm_alone(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn id(path: &Path) -> Result<FileId, StoreError> {
    let found = path.metadata();
    let found = found.map_err(|error| unavailable("find", path, &error))?;
    Ok((found.dev(), found.ino()))
}

fn take_lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(unavailable("lock", path, &error)),
    }
}

/// The WAL's index is shared memory: two machines would not see each other's.
fn refuse_network_file_system(file: &File, path: &Path) -> Result<(), StoreError> {
    let found = rustix::fs::fstatfs(file);
    let found = found.map_err(|error| unavailable("look at", path, &error.into()))?;
    // The low 32 bits; the width and the sign of the field differ between platforms.
    let magic = found.f_type as u32;
    match NETWORK_FILE_SYSTEMS.iter().find(|(of, _)| *of == magic) {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::Unavailable(format!(
            "{} is on {name}: the database has to be on a file system of one machine",
            path.display()
        ))),
    }
}

/// SQLite looks for the WAL beside the name that it is given: by another name it would miss what is
/// in it.
fn refuse_other_names(file: &File, path: &Path) -> Result<(), StoreError> {
    let found = file.metadata();
    let found = found.map_err(|error| unavailable("look at", path, &error))?;
    match found.nlink() {
        1 => Ok(()),
        names => Err(StoreError::Unavailable(format!(
            "{} has {names} names (hard links) and may have one: remove the others",
            path.display()
        ))),
    }
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
