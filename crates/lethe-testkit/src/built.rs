//! Programs of other packages that a test runs: cargo does not build them for the test.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

static READY: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

/// The file that cargo makes of a package, in the folder where cargo puts programs. It is built only
/// when it is missing or older than its sources: cargo replaces what it builds, and another test may be
/// starting it at that moment.
///
/// # Panics
/// When the build fails.
pub fn built(folder: &Path, package: &str, file: &str) -> PathBuf {
    let path = folder.join(file);
    let mut ready = READY.lock().expect("the build succeeded");
    let ready = ready.get_or_insert_default();
    if ready.insert(path.clone()) && !is_current(&path) {
        build(folder, package);
    }
    path
}

fn build(folder: &Path, package: &str) {
    let target = folder.parent().expect("a folder of the target directory");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", package, "--target-dir"])
        .arg(target)
        .status();
    assert!(built.is_ok_and(|it| it.success()), "building {package}");
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).ok()
}

/// Whether the last change of all its sources, which cargo lists beside it, was before it was built.
fn is_current(path: &Path) -> bool {
    let sources = fs::read_to_string(path.with_extension("d"));
    let sources = sources.as_deref().unwrap_or_default().split_once(": ");
    let (Some(built), Some((_, sources))) = (changed(path), sources) else {
        return false;
    };
    let mut sources = sources.split_whitespace();
    sources.all(|it| changed(Path::new(it)).is_some_and(|source| source <= built))
}
