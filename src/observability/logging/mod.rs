//! Logs on standard error; no ids, no keys.

mod queue;

use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Starts logging, of panics too; a second call changes nothing.
///
/// # Errors
/// If `log.level` is not valid, or the thread cannot be started.
pub fn start(section: &LogSection) -> Result<(), String> {
    // What h2 warns of, any stranger can bring about, as often as he likes.
    let directives = match section.level.as_str() {
        level @ ("info" | "warn") => format!("{level},h2=error"),
        other => other.to_owned(),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("log.level: {error}"))?;
    queue::start().map_err(|error| format!("the log's thread: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| queue::Line)
        // A failure to write to standard error is not reported there: that would panic.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A test may have started logging already.
    let started = match section.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Writes a line to standard error that is no event of the log. If logging was started it does not wait
/// for the reader. If standard error is closed or full, nothing happens.
pub fn say(text: &str) {
    let line = format!("{text}\n");
    if !queue::push(&line) {
        // The reader of standard error is the business of whoever started the command.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
}

/// Waits until what was logged is written, for a second at most.
pub fn flush() {
    queue::flush(Duration::from_secs(1));
}

/// Lines that were lost because nobody read them in time.
#[must_use]
pub fn lost_lines() -> u64 {
    queue::lost()
}

/// Only the place of a panic is logged, and not its message: that may quote a text such as a
/// conversation id.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(tracing::field::display);
    let thread = std::thread::current();
    tracing::error!(location, thread = thread.name(), "panic");
    // The process may end with this thread.
    flush();
}
