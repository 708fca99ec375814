//! The state directory: `objects` holds records, each encrypted under a key of its own that
//! stands in `cell`.
//!
//! A create writes a record and then its key; a destroy overwrites the key in place. Both cost a
//! few flushes of preallocated blocks, whatever the number of objects. No key is ever used again,
//! so whoever kept every old content of `objects` opens with the present `cell` what lives now
//! and nothing else. What replaces another record says so; a start finishes what a crash left.

pub(crate) mod cell;
mod directory;
mod disk;
mod load;
mod map;
mod record;
mod state;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use load::read;
pub use state::{Header, State};

use cell::{Cell, Entry};
use directory::{lock, private, sync_dir};
use disk::Disk;
use map::{Home, Map};
use record::{Content, Records, Write};

const CELL: &str = "cell";
const OBJECTS: &str = "objects";
const TAMPERED: &str = "tampered";

/// Where a record begins in `objects`, and the place of its key in `cell`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Slot(u32);

/// An open state directory, locked against a second daemon.
pub struct Storage {
    dir: PathBuf,
    cell: Cell,
    records: Records,
    map: Map,
    header: Slot,
    /// The sequence number of the newest record. Each record has its own.
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
        if dir.join(CELL).exists() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a token is here already",
            ));
        }
        // The name `cell` appears last, when the token in it is complete.
        let mut storage = Self {
            dir: dir.to_owned(),
            cell: Cell(Disk::new(private(&dir.join("cell.new"), true)?)),
            records: Records(Disk::new(private(&dir.join(OBJECTS), true)?)),
            map: Map::default(),
            header: Slot::default(),
            sequence: 0,
            _lock: lock,
        };
        storage.header = storage.write(&header(state, 0, None), Vec::new())?;
        let handles: Vec<u64> = state.objects.keys().copied().collect();
        for handle in handles {
            storage.add(state, &[handle])?;
        }
        fs::rename(dir.join("cell.new"), dir.join(CELL))?;
        sync_dir(dir)?;
        Ok(storage)
    }

    /// Opens a directory for serving; `None` for a token that was tampered with. Finishes what
    /// a crash interrupted.
    ///
    /// # Errors
    /// When another daemon serves it, no token is there, or its state does not open.
    pub fn open(dir: &Path) -> io::Result<(Self, Option<State>)> {
        let lock = lock(dir)?;
        let mut storage = Self {
            dir: dir.to_owned(),
            cell: Cell(Disk::new(private(&dir.join(CELL), false)?)),
            records: Records(Disk::new(private(&dir.join(OBJECTS), false)?)),
            map: Map::default(),
            header: Slot::default(),
            sequence: 0,
            _lock: lock,
        };
        if dir.join(TAMPERED).exists() {
            storage.tamper()?;
            return Ok((storage, None));
        }
        let state = storage.load()?;
        Ok((storage, Some(state)))
    }

    /// Makes new objects of `state` durable, all or none.
    ///
    /// # Errors
    /// Here and below: when the file system refuses; what is durable is then unknown.
    pub fn add(&mut self, state: &State, handles: &[u64]) -> io::Result<()> {
        let record = Write::objects(state, handles, None);
        self.write(&record, handles.to_vec()).map(drop)
    }

    /// Makes an object unreadable that is no longer in `state`.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn remove(&mut self, state: &State, handle: u64) -> io::Result<()> {
        self.rewrite(state, handle)
    }

    /// Makes an object's change durable and its earlier content unreadable.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn update(&mut self, state: &State, handle: u64) -> io::Result<()> {
        self.rewrite(state, handle)
    }

    /// Makes the header durable and the earlier one unreadable.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn save_header(&mut self, state: &State) -> io::Result<()> {
        let old = self.header;
        let replaces = self.map.home(old).map(|home| home.sequence);
        self.header = self.write(&header(state, 0, replaces), Vec::new())?;
        self.forget(&[old])
    }

    /// Makes the header durable and every object unreadable.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn clear(&mut self, state: &State) -> io::Result<()> {
        let old = self.map.slots();
        let since = self.sequence + 1;
        self.header = self.write(&header(state, since, None), Vec::new())?;
        self.forget(&old)
    }

    /// Effaces the cell and then every record, for good.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn tamper(&mut self) -> io::Result<()> {
        // The keys first: once they are gone, all else is tidying up.
        self.cell.0.overwrite()?;
        self.records.0.overwrite()?;
        private(&self.dir.join(TAMPERED), true)?.sync_all()?;
        sync_dir(&self.dir)
    }

    /// Replaces the record of an object by what `state` holds of it.
    fn rewrite(&mut self, state: &State, handle: u64) -> io::Result<()> {
        let (slot, home) = self
            .map
            .home_of(handle)
            .ok_or_else(|| io::Error::other("an object without record"))?;
        let kept = |handle: &u64| state.objects.contains_key(handle);
        let handles: Vec<u64> = home.handles.iter().copied().filter(kept).collect();
        if !handles.is_empty() {
            let record = Write::objects(state, &handles, Some(home.sequence));
            self.write(&record, handles.clone())?;
        }
        self.forget(&[slot])
    }

    /// The record first, then its key: a key that is there always opens something.
    fn write(&mut self, record: &Write<'_>, handles: Vec<u64>) -> io::Result<Slot> {
        let plain = record::encode(record)?;
        let length = u32::try_from(plain.len() + record::TAG).map_err(io::Error::other)?;
        let slots = record::slots_of(length);
        let slot = self.allocate(slots)?;
        self.sequence += 1;
        let mut entry = Entry::draw(slot, self.sequence)?;
        entry.length = length;
        self.records.write(slot, &record::seal(plain, &entry)?)?;
        self.cell.write(&entry)?;
        let home = Home {
            sequence: self.sequence,
            slots,
            handles,
        };
        self.map.insert(slot, home);
        Ok(slot)
    }

    fn allocate(&mut self, slots: u32) -> io::Result<Slot> {
        loop {
            if let Some(slot) = self.map.free_run(slots) {
                return Ok(slot);
            }
            // A crash may have left one file longer than the other.
            let (keys, records) = (self.cell.slots()?, self.records.slots()?);
            if keys <= records {
                self.cell.grow()?;
            }
            if records <= keys {
                self.records.grow()?;
            }
            self.map.grow_to(self.room()?);
        }
    }

    fn room(&self) -> io::Result<u32> {
        Ok(self.cell.slots()?.min(self.records.slots()?))
    }

    fn forget(&mut self, slots: &[Slot]) -> io::Result<()> {
        self.cell.efface(slots)?;
        slots.iter().for_each(|slot| self.map.remove(*slot));
        Ok(())
    }
}

fn header(state: &State, since: u64, replaces: Option<u64>) -> Write<'_> {
    let header = &state.header;
    Write {
        replaces,
        content: Content::Header { since, header },
    }
}
