use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::Failure;

/// A PKCS#11 module reads environment variables, and changing them in a running process is not safe. So
/// this starts the program again, in its place, with the variables set.
pub(super) fn ensure(variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    let set = |(name, value): (&String, &String)| {
        std::env::var_os(name).as_deref() == Some(OsStr::new(value))
    };
    if variables.iter().all(set) {
        return Ok(());
    }
    start_again(variables)
}

/// Starts the program again, in its place, with the same words and these variables beside its own.
pub(super) fn start_again(variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    // Also when an upgrade has replaced the file.
    let error = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .envs(variables)
        .exec();
    Err(error.into())
}
