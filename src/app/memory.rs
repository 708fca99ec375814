//! Keeps what is in memory out of everything else: core dumps, debuggers, swap.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// What became of it. Made before there is a log, so said later.
#[must_use = "an operator has to hear of what did not work"]
pub struct Protection {
    undumpable: io::Result<()>,
    locked: io::Result<()>,
}

/// Protects this process; for the first lines of a command, while it has one thread. Nothing here
/// is a reason not to run: an operator may have other means, such as a machine without swap.
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

/// The limit alone would not do: a `core_pattern` that is a pipe ignores it.
fn forbid_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// Locks all memory, of now and of later, when there is no limit on it. Below a limit nothing is
/// locked: the lock would count on for all that is allocated later, until one allocation fails.
fn lock() -> io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    let trial = Rlimit {
        // As high as can be when that is no limit at all. Else 0, where only CAP_IPC_LOCK helps:
        // that the process has it is not enough, the kernel does not count that of a container
        // with users of its own.
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
