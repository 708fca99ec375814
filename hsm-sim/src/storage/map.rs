//! Which slots are taken, by which record, and where each object is.

use std::collections::BTreeMap;

use super::Slot;

/// A record on disk.
pub(super) struct Home {
    pub(super) sequence: u64,
    pub(super) slots: u32,
    /// The handles of the record's objects; empty for the header.
    pub(super) handles: Vec<u64>,
}

/// The records on disk.
#[derive(Default)]
pub(super) struct Map {
    taken: Vec<bool>,
    homes: BTreeMap<Slot, Home>,
    objects: BTreeMap<u64, Slot>,
}

impl Map {
    /// Room for more slots.
    pub(super) fn grow_to(&mut self, slots: u32) {
        self.taken.resize(slots as usize, false);
    }

    /// The first run of free slots of this length.
    pub(super) fn free_run(&self, length: u32) -> Option<Slot> {
        let mut run = 0;
        for (index, taken) in (0..).zip(&self.taken) {
            run = if *taken { 0 } else { run + 1 };
            if run == length {
                return Some(Slot(index + 1 - length));
            }
        }
        None
    }

    pub(super) fn insert(&mut self, slot: Slot, home: Home) {
        self.mark(slot, home.slots, true);
        for handle in &home.handles {
            self.objects.insert(*handle, slot);
        }
        self.homes.insert(slot, home);
    }

    /// Forgets a record; objects that moved elsewhere stay.
    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(home) = self.homes.remove(&slot) {
            self.mark(slot, home.slots, false);
            for handle in &home.handles {
                if self.objects.get(handle) == Some(&slot) {
                    self.objects.remove(handle);
                }
            }
        }
    }

    fn mark(&mut self, slot: Slot, length: u32, taken: bool) {
        let start = slot.0 as usize;
        if let Some(run) = self.taken.get_mut(start..start + length as usize) {
            run.fill(taken);
        }
    }

    /// The record that holds an object.
    pub(super) fn home_of(&self, handle: u64) -> Option<(Slot, &Home)> {
        let slot = self.objects.get(&handle)?;
        Some((*slot, self.homes.get(slot)?))
    }

    pub(super) fn home(&self, slot: Slot) -> Option<&Home> {
        self.homes.get(&slot)
    }

    /// Every record's first slot.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.homes.keys().copied().collect()
    }
}
