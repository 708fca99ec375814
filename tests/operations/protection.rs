//! The process keeps its memory to itself: no core dump, no debugger, no swap.

use crate::support::{Dev, this_test};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit,
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

const CHILD: &str = "LETHE_TEST_PROTECTS";
/// Far above what a start takes, far below what a service takes later.
const SOME: u64 = 4 << 30;

/// Runs a test of this file again as a process of its own; what it logged.
fn alone(test: &str) -> String {
    let mut child = this_test(module_path!(), test);
    let output = child.env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn protect() {
    lethe::observability::logging::start(&lethe::config::LogSection::default()).unwrap();
    lethe::app::memory::protect().report();
}

/// Kilobytes that are locked.
fn locked(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

#[test]
fn neither_core_dumps_nor_debuggers() {
    if std::env::var_os(CHILD).is_none() {
        alone("neither_core_dumps_nor_debuggers");
        return;
    }
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    protect();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
}

/// A lock that counts against a limit would let a later allocation fail.
#[test]
fn below_a_limit_nothing_is_locked_and_nothing_fails_later() {
    if std::env::var_os(CHILD).is_none() {
        let said = alone("below_a_limit_nothing_is_locked_and_nothing_fails_later");
        let warnings = said.lines().filter(|line| line.contains("WARN"));
        let warnings: Vec<_> = warnings.collect();
        assert_eq!(warnings.len(), 1, "{said}");
        assert!(warnings[0].contains("LimitMEMLOCK=infinity"), "{said}");
        return;
    }
    let hard = getrlimit(Resource::Memlock).maximum;
    let most = hard.map_or(SOME, |hard| hard.min(SOME));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Memlock, limit).unwrap();
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).unwrap();
    protect();
    assert_eq!(locked("thread-self"), 0);
    assert_eq!(getrlimit(Resource::Memlock), limit);
    // More than the limit, where that is a common one; a failure ends the process.
    drop(std::hint::black_box(vec![1_u8; 64 << 20]));
}

#[test]
fn without_a_limit_all_is_locked() {
    if std::env::var_os(CHILD).is_none() {
        let said = alone("without_a_limit_all_is_locked");
        assert!(said.contains("skipped") || !said.contains("WARN"), "{said}");
        return;
    }
    if !may_lock() {
        eprintln!("skipped: needs CAP_IPC_LOCK or no limit");
        return;
    }
    protect();
    let before = locked("thread-self");
    assert!(before > 0);
    let later = vec![1_u8; 64 << 20];
    assert!(locked("thread-self") >= before + (later.len() as u64 >> 10));
}

/// In a container with users of its own the capability does not count.
fn may_lock() -> bool {
    let users = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let capable = capabilities(None)
        .unwrap()
        .effective
        .contains(CapabilitySet::IPC_LOCK);
    getrlimit(Resource::Memlock).maximum.is_none() || capable && users.contains("4294967295")
}

#[tokio::test]
async fn the_service_is_protected_or_says_that_it_is_not() {
    let dev = Dev::start();
    let process = dev.pid().as_raw_nonzero().to_string();
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"]);
    let warned = dev.log().contains("LimitMEMLOCK=infinity");
    assert_eq!(locked(&process) == 0, warned, "{}", dev.log());
}
