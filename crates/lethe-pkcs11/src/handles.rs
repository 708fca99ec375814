//! Handles of keys just made or found in a session, so that sealing and opening need not search.
//!
//! A device may give a destroyed key's handle to another key. A wrong handle cannot open anything
//! (the tag fails, and the key is searched for), but it could seal under a key that nobody will
//! ask: so sealing uses the handle of a key only once, right after this session made the key.
//! Destroying never uses these handles. Any error of the session drops them all.

use std::cell::Cell;

use cryptoki::object::ObjectHandle;
use lethe_core::ports::HsmKey;

/// The last key of a session.
#[derive(Default)]
pub(crate) struct Handles {
    made: Cell<Option<(HsmKey, ObjectHandle)>>,
    used: Cell<Option<(HsmKey, ObjectHandle)>>,
}

fn matching(found: Option<(HsmKey, ObjectHandle)>, key: HsmKey) -> Option<ObjectHandle> {
    found.and_then(|(whose, handle)| (whose == key).then_some(handle))
}

impl Handles {
    /// This session has made a key.
    pub(crate) fn made(&self, key: HsmKey, handle: ObjectHandle) {
        self.made.set(Some((key, handle)));
    }

    /// This session has used a key.
    pub(crate) fn used(&self, key: HsmKey, handle: ObjectHandle) {
        self.used.set(Some((key, handle)));
    }

    /// The handle to seal with; given out once.
    pub(crate) fn to_seal(&self, key: HsmKey) -> Option<ObjectHandle> {
        matching(self.made.take(), key)
    }

    /// The handle to open with.
    pub(crate) fn to_open(&self, key: HsmKey) -> Option<ObjectHandle> {
        matching(self.used.get(), key)
    }

    pub(crate) fn clear(&self) {
        self.made.set(None);
        self.used.set(None);
    }
}
