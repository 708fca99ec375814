//! Logs on standard error; no ids, no keys.

use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Starts logging, of panics too; a second call changes nothing.
///
/// # Errors
/// What is wrong with `log.level`.
pub fn start(section: &LogSection) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&section.level).map_err(|error| format!("log.level: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Said on standard error too: where that is gone, saying so would be a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // Started already, by a test: fine.
    let started = match section.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Where, and not what: the message of a panic can quote the text that it stumbled over, such as a
/// conversation id.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(tracing::field::display);
    let thread = std::thread::current();
    tracing::error!(location, thread = thread.name(), "panic");
}
