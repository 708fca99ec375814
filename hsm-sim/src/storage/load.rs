//! Reading the state: at a start, and as an attacker with the disk would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use super::cell::{Cell, Entry, Found};
use super::disk::Disk;
use super::map::Home;
use super::record::{self, Content, Read, Records};
use super::{CELL, OBJECTS, Slot, State, Storage};

impl Storage {
    /// Reads the state, repairs torn keys and effaces what a later record replaced.
    pub(super) fn load(&mut self) -> io::Result<State> {
        let Found { entries, torn } = self.cell.read()?;
        let (living, void) = part(open_all(&self.records, entries)?);
        let lost: Vec<Slot> = void.iter().map(|(entry, _)| entry.slot).collect();
        self.cell.efface(&lost)?;
        self.map.grow_to(self.room()?);
        for (entry, record) in &living {
            if let Some(copy) = torn.get(&entry.slot) {
                self.cell.write_copy(entry, *copy)?;
            }
            self.register(entry, record);
        }
        merge(living)
    }

    fn register(&mut self, entry: &Entry, record: &Read) {
        let handles = match &record.content {
            Content::Objects(objects) => objects.iter().map(|(handle, _)| *handle).collect(),
            Content::Header { .. } => {
                self.header = entry.slot;
                Vec::new()
            }
        };
        self.sequence = self.sequence.max(entry.sequence);
        let home = Home {
            sequence: entry.sequence,
            slots: record::slots_of(entry.length),
            handles,
        };
        self.map.insert(entry.slot, home);
    }
}

/// Reads the state without lock or writes, as an attacker with the disk would: whatever opens
/// counts, also what a commit cut short has not effaced yet.
///
/// # Errors
/// When there is none that opens.
pub fn read(dir: &Path) -> io::Result<State> {
    let mut last = io::Error::other("no state");
    // A daemon at work may write a record anew between our two reads.
    for _ in 0..50 {
        let cell = Cell(Disk::new(File::open(dir.join(CELL))?));
        let records = Records(Disk::new(File::open(dir.join(OBJECTS))?));
        let opened = cell.read().and_then(|it| open_all(&records, it.entries));
        match opened.and_then(merge) {
            Ok(state) => return Ok(state),
            Err(error) => last = error,
        }
    }
    Err(last)
}

type Opened = Vec<(Entry, Read)>;

/// All records, the youngest first.
fn open_all(records: &Records, entries: Vec<Entry>) -> io::Result<Opened> {
    let open = |entry| records.read(&entry).map(|record| (entry, record));
    let mut opened = entries
        .into_iter()
        .map(open)
        .collect::<io::Result<Vec<_>>>()?;
    opened.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.sequence));
    Ok(opened)
}

/// Parts what counts from what a later record replaced.
fn part(records: Opened) -> (Opened, Opened) {
    let since = records.iter().find_map(|(_, record)| match record.content {
        Content::Header { since, .. } => Some(since),
        Content::Objects(_) => None,
    });
    let replaced: BTreeSet<u64> = records.iter().filter_map(|(_, it)| it.replaces).collect();
    records.into_iter().partition(|(entry, _)| {
        Some(entry.sequence) >= since && !replaced.contains(&entry.sequence)
    })
}

/// The state of records, the youngest first, which wins.
fn merge(records: Opened) -> io::Result<State> {
    let mut header = None;
    let mut objects = BTreeMap::new();
    for (_, record) in records {
        match record.content {
            Content::Header { header: found, .. } => header = header.or(Some(found)),
            Content::Objects(found) => {
                for (handle, object) in found {
                    objects.entry(handle).or_insert(object);
                }
            }
        }
    }
    let header = header.ok_or_else(|| io::Error::other("the cell holds no key of a token"))?;
    Ok(State { header, objects })
}
