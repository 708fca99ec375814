//! The state directory: `cell` holds a key, `state-<n>.bin` all objects encrypted under it.
//!
//! Every commit draws a new key, writes a new state file, switches the cell and effaces the old
//! key. So what a destroyed object leaves on disk is noise, at the price of one rewrite of all
//! objects per commit (cheap up to some 10,000 of them).

pub(crate) mod cell;
pub(crate) mod seal;
mod state;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use state::State;

use cell::CellKey;

const TAMPERED: &str = "tampered";

/// An open state directory, locked against a second daemon.
pub struct Storage {
    dir: PathBuf,
    cell: File,
    sequence: u64,
    _lock: File,
}

impl Storage {
    /// Makes a new directory that holds `state`.
    ///
    /// # Errors
    /// When a token is there already, or the file system refuses.
    pub fn create(dir: &Path, state: &State) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let lock = lock(dir)?;
        if dir.join("cell").exists() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a token is here already",
            ));
        }
        // The name `cell` appears last, when the token in it is complete.
        let cell = private(&dir.join("cell.new"), true)?;
        cell.set_len(8192)?;
        let mut storage = Self {
            dir: dir.to_owned(),
            cell,
            sequence: 0,
            _lock: lock,
        };
        storage.commit(state)?;
        fs::rename(dir.join("cell.new"), dir.join("cell"))?;
        sync_dir(dir)?;
        Ok(storage)
    }

    /// Opens a directory for serving; `None` for a token that was tampered with. Finishes what
    /// a crash interrupted: effaces the older of two keys, removes stale state files.
    ///
    /// # Errors
    /// When another daemon serves it, no token is there, or its state does not open.
    pub fn open(dir: &Path) -> io::Result<(Self, Option<State>)> {
        let lock = lock(dir)?;
        let cell = private(&dir.join("cell"), false)?;
        let mut storage = Self {
            dir: dir.to_owned(),
            cell,
            sequence: 0,
            _lock: lock,
        };
        if dir.join(TAMPERED).exists() {
            storage.tamper()?;
            return Ok((storage, None));
        }
        let (key, state) = load(dir, &storage.cell)?;
        storage.sequence = key.sequence;
        cell::efface_other(&storage.cell, key.sequence)?;
        storage.remove_states(Some(key.sequence))?;
        Ok((storage, Some(state)))
    }

    /// Makes `state` the durable one and every earlier state unreadable.
    ///
    /// # Errors
    /// When the file system refuses; which of the two states is durable is then unknown.
    pub fn commit(&mut self, state: &State) -> io::Result<()> {
        let old = self.sequence;
        let key = self.prepare(state)?;
        cell::write(&self.cell, &key)?;
        cell::efface_other(&self.cell, key.sequence)?;
        self.sequence = key.sequence;
        match fs::remove_file(state_path(&self.dir, old)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The first half of a commit: the new state is on disk, the cell does not know it.
    fn prepare(&self, state: &State) -> io::Result<CellKey> {
        let key = CellKey::draw(self.sequence + 1)?;
        let mut file = private(&state_path(&self.dir, key.sequence), true)?;
        file.write_all(&seal::seal(state, &key)?)?;
        file.sync_all()?;
        sync_dir(&self.dir)?;
        Ok(key)
    }

    /// Effaces the cell and every object, for good.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn tamper(&mut self) -> io::Result<()> {
        // The key first: once it is gone, all else is tidying up.
        cell::efface_all(&self.cell)?;
        private(&self.dir.join(TAMPERED), true)?.sync_all()?;
        self.remove_states(None)?;
        sync_dir(&self.dir)
    }

    fn remove_states(&self, keep: Option<u64>) -> io::Result<()> {
        let keep = keep.map(|sequence| state_path(&self.dir, sequence));
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let is_state = name.is_some_and(|name| name.starts_with("state-"));
            if is_state && Some(&path) != keep.as_ref() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Reads the state without lock or writes, as an attacker with the disk would.
///
/// # Errors
/// When there is none that opens.
pub fn read(dir: &Path) -> io::Result<State> {
    let mut last = io::Error::other("no state");
    // A daemon at work may remove the state file between our two reads.
    for _ in 0..50 {
        match load(dir, &File::open(dir.join("cell"))?) {
            Ok((_, state)) => return Ok(state),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn load(dir: &Path, cell: &File) -> io::Result<(CellKey, State)> {
    let key = cell::read(cell)?.into_iter().next();
    let key = key.ok_or_else(|| io::Error::other("the cell holds no key"))?;
    let state = seal::open(fs::read(state_path(dir, key.sequence))?, &key)?;
    Ok((key, state))
}

fn state_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("state-{sequence}.bin"))
}

fn private(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(create)
        .mode(0o600)
        .open(path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another daemon serves this directory"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}
