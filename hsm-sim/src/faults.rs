//! What real devices do to their clients, on demand.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

/// A fault by its name on the command line.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
pub enum Fault {
    /// Every operation takes VALUE milliseconds longer, each on its own.
    LatencyMs,
    /// At most VALUE operations a second, over all connections.
    Throughput,
    /// The device does one thing at a time, VALUE milliseconds each (200).
    Slow,
    /// Calls block until the fault is cleared.
    Hang,
    /// VALUE more operations, then calls block until all faults are cleared.
    HangAfter,
    /// `CKR_DEVICE_REMOVED`
    DeviceRemoved,
    /// All sessions are dropped, once.
    SessionsLost,
    /// `CKR_DEVICE_MEMORY` for every new object.
    Full,
    /// Room for VALUE token objects.
    ObjectLimit,
    /// The daemon dies right after the next durable create or destroy, before it answers.
    CrashAfterCommit,
    /// `C_DestroyObject` answers well and keeps the key.
    DestroyKeepsKey,
    /// `CKR_PIN_LOCKED` on login.
    PinLocked,
    /// New objects are made without regard to what their template says of secrecy, change and copies;
    /// with VALUE of the attribute of this number alone.
    IgnoreTemplate,
}

/// The faults in force.
#[derive(Default)]
pub struct Faults {
    set: Mutex<BTreeMap<Fault, u64>>,
    cleared: Condvar,
    device: Mutex<()>,
}

impl Faults {
    /// Switches a fault on.
    pub fn set(&self, fault: Fault, value: Option<u64>) {
        let value = value.unwrap_or(if fault == Fault::Slow { 200 } else { 1 });
        self.set.lock().insert(fault, value);
    }

    /// Switches one fault off, or all.
    pub fn clear(&self, fault: Option<Fault>) {
        let mut set = self.set.lock();
        match fault {
            Some(fault) => drop(set.remove(&fault)),
            None => set.clear(),
        }
        self.cleared.notify_all();
    }

    /// All faults in force.
    #[must_use]
    pub fn list(&self) -> Vec<(Fault, u64)> {
        self.set
            .lock()
            .iter()
            .map(|(fault, value)| (*fault, *value))
            .collect()
    }

    /// The value of a fault in force.
    #[must_use]
    pub fn get(&self, fault: Fault) -> Option<u64> {
        self.set.lock().get(&fault).copied()
    }

    /// The value of a fault, which is over with that.
    pub fn take(&self, fault: Fault) -> Option<u64> {
        self.set.lock().remove(&fault)
    }

    /// Makes the caller wait as long as the device would.
    pub fn delay(&self) {
        let mut set = self.set.lock();
        if let Some(left) = set.get_mut(&Fault::HangAfter) {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => drop(set.insert(Fault::Hang, 1)),
            }
        }
        while set.contains_key(&Fault::Hang) {
            self.cleared.wait(&mut set);
        }
        let latency = set.get(&Fault::LatencyMs).copied();
        let pace = set
            .get(&Fault::Throughput)
            .map(|rate| 1_000_000 / (*rate).max(1));
        let slow = set.get(&Fault::Slow).map(|millis| millis * 1000);
        drop(set);
        if let Some(micros) = slow.max(pace) {
            // Held while asleep: the next operation waits its turn.
            let _turn = self.device.lock();
            std::thread::sleep(Duration::from_micros(micros));
        }
        if let Some(millis) = latency {
            std::thread::sleep(Duration::from_millis(millis));
        }
    }
}
