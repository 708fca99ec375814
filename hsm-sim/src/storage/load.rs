//! Reading the state: at a start, and as an attacker with the disk would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use super::cell::{Cell, Entry, Found};
use super::disk::Disk;
use super::map::Home;
use super::record::{self, Content, Read, Records};
use super::{CELL, Header, OBJECTS, Slot, State, Storage};
use crate::token::object::Object;

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
        let (header, objects) = merge(living);
        let header = header.ok_or_else(|| io::Error::other("the cell holds no key of a token"))?;
        Ok(State { header, objects })
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

/// What an attacker with the disk reads.
pub struct Seen {
    /// The header of the token; none if its record does not open.
    pub header: Option<Header>,
    /// Token objects by handle.
    pub objects: BTreeMap<u64, Object>,
    /// Why the other records do not open.
    pub unreadable: Vec<String>,
}

/// Reads the state without lock or writes, as an attacker with the disk would: whatever opens
/// counts, also what a commit cut short has not effaced yet, and beside what does not open.
///
/// # Errors
/// When the files cannot be read, or the cell holds no key at all.
pub fn read(dir: &Path) -> io::Result<Seen> {
    let whole = |seen: &Seen| seen.header.is_some() && seen.unreadable.is_empty();
    let mut last = read_once(dir);
    // A daemon at work may write a record anew between our two reads.
    for _ in 1..50 {
        if last.as_ref().is_ok_and(whole) {
            break;
        }
        last = read_once(dir);
    }
    last
}

fn read_once(dir: &Path) -> io::Result<Seen> {
    let cell = Cell(Disk::new(File::open(dir.join(CELL))?));
    let records = Records(Disk::new(File::open(dir.join(OBJECTS))?));
    let (mut opened, mut unreadable) = (Vec::new(), Vec::new());
    for entry in cell.read()?.entries {
        match records.read(&entry) {
            Ok(record) => opened.push((entry, record)),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    let (header, objects) = merge(youngest_first(opened));
    if header.is_none() && objects.is_empty() && unreadable.is_empty() {
        return Err(io::Error::other("the cell holds no key"));
    }
    Ok(Seen {
        header,
        objects,
        unreadable,
    })
}

type Opened = Vec<(Entry, Read)>;

/// All records, the youngest first.
fn open_all(records: &Records, entries: Vec<Entry>) -> io::Result<Opened> {
    let open = |entry| records.read(&entry).map(|record| (entry, record));
    let opened = entries.into_iter().map(open).collect::<io::Result<_>>()?;
    Ok(youngest_first(opened))
}

fn youngest_first(mut records: Opened) -> Opened {
    records.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.sequence));
    records
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

/// Header and objects of records, the youngest first, which wins.
fn merge(records: Opened) -> (Option<Header>, BTreeMap<u64, Object>) {
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
    (header, objects)
}
