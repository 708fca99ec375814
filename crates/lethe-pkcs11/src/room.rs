//! How many objects the token holds, counted once and then kept, so that a create need not list
//! them all.

use lethe_core::ports::HsmError;
use parking_lot::Mutex;

use crate::call::Call;
use crate::errors::{self, Failure, Meaning};
use crate::objects::count_all;

#[derive(Default)]
struct Count {
    /// Number of objects on the token. `None` before the first count, and when the device contradicted
    /// it.
    known: Option<u64>,
    /// Number of objects that calls under way are making.
    coming: u64,
    /// Number of objects that this process has made.
    made: u64,
}

/// The room on the token. Other applications may change it, so it is counted again before a call is
/// refused. The lock is never held during a call.
#[derive(Default)]
pub(crate) struct Room(Mutex<Count>);

impl Room {
    /// Makes objects if there is room for them.
    pub(crate) fn take<T>(
        &self,
        call: &Call<'_>,
        objects: u64,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let most = call.config().max_objects;
        if !self.reserve(objects, most) {
            self.recount(call)?;
            if !self.reserve(objects, most) {
                return Err(HsmError::Full.into());
            }
        }
        let made = make();
        self.release(objects, &made);
        made
    }

    fn reserve(&self, objects: u64, most: u64) -> bool {
        let mut count = self.0.lock();
        let fits = count
            .known
            .is_some_and(|known| known + count.coming + objects <= most);
        if fits {
            count.coming += objects;
        }
        fits
    }

    fn recount(&self, call: &Call<'_>) -> Result<(), Failure> {
        let before = self.0.lock().made;
        let found = count_all(call)?;
        let mut count = self.0.lock();
        // What was made meanwhile may be counted twice, but never not at all.
        count.known = Some(found + (count.made - before));
        Ok(())
    }

    /// Ends a reservation: the objects were made or not.
    fn release<T>(&self, objects: u64, made: &Result<T, Failure>) {
        let mut count = self.0.lock();
        count.coming = count.coming.saturating_sub(objects);
        match made {
            Ok(_) => {
                count.made += objects;
                count.known = count.known.map(|known| known + objects);
            }
            // The object may have been made, or the device counts differently.
            Err(Failure::Module(error)) if unsure(errors::meaning(error)) => count.known = None,
            Err(_) => {}
        }
    }

    /// Objects were destroyed here.
    pub(crate) fn freed(&self, objects: u64) {
        let mut count = self.0.lock();
        count.known = count.known.map(|known| known.saturating_sub(objects));
    }
}

fn unsure(meaning: Meaning) -> bool {
    matches!(
        meaning,
        Meaning::Lost | Meaning::Unwell | Meaning::Unavailable | Meaning::Full
    )
}
