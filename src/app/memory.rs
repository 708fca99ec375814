//! Keeps what is in memory out of everything else: core dumps, debuggers, swap.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// The result of the protection. It is logged later, because there is no log yet.
#[must_use = "an operator has to hear of what did not work"]
pub struct Protection {
    undumpable: io::Result<()>,
    locked: io::Result<()>,
}

/// Protects this process. It is called while the process has one thread. A failure does not end the
/// command: an operator may have other means, such as a machine without swap.
pub fn protect() -> Protection {
    Protection {
        undumpable: forbid_dumps(),
        locked: lock(),
    }
}

impl Protection {
    /// Logs what did not work.
    pub fn report(&self) {
        if let Err(error) = &self.undumpable {
            tracing::warn!(%error, "core dumps and debuggers are not kept away");
        }
        if let Err(error) = &self.locked {
            tracing::warn!(
                %error,
                "memory is not locked and keys may reach swap: set LimitMEMLOCK=infinity"
            );
        }
    }
}

/// The limit alone is not enough: a `core_pattern` that is a pipe ignores it.
fn forbid_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// Locks all present and future memory if there is no limit on locked memory. With a limit nothing is
/// locked: later allocations would count against it until one fails.
fn lock() -> io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    let trial = Rlimit {
        // The limit is raised to the highest value if that is no limit at all. Otherwise it is set to
        // 0, so that only CAP_IPC_LOCK allows the lock. To ask whether the process has it is not
        // enough: the kernel does not count the one of a container with users of its own.
        current: limit.maximum.is_some().then_some(0),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Memlock, trial)?;
    // Pages that nobody touches, such as most of a thread's stack, take no memory.
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let locked = mlockall(all);
    if limit.maximum.is_some() {
        setrlimit(Resource::Memlock, limit)?;
    }
    Ok(locked?)
}
