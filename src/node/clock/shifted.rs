//! Debug builds alone: a wall clock that tests put wrong, through a file that `LETHE_TEST_WALL_CLOCK`
//! names. `+5000` and `-5000` shift it by milliseconds, `=1700000000000` stops it there.

use std::path::PathBuf;
use std::sync::OnceLock;

use lethe_core::ports::BootId;

/// What the wall clock shows instead of `millis`.
pub(super) fn wall(millis: u128) -> u128 {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os("LETHE_TEST_WALL_CLOCK").map(PathBuf::from));
    let Some(file) = file else {
        return millis;
    };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let text = text.trim();
    let number = |text: &str| text.parse::<u128>().unwrap_or(0);
    match text.split_at_checked(1) {
        Some(("+", by)) => millis + number(by),
        Some(("-", by)) => millis.saturating_sub(number(by)),
        Some(("=", at)) => number(at),
        _ => millis,
    }
}

/// Another boot of the machine than the running one: a file beside that of the wall clock, `.boot`
/// behind its name, has its number.
pub(super) fn boot_id() -> Option<BootId> {
    let mut file = std::env::var_os("LETHE_TEST_WALL_CLOCK")?;
    file.push(".boot");
    let number: u128 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    Some(number.to_be_bytes())
}
