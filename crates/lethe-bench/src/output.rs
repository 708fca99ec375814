//! What a run prints, which nobody may read any more: an error for a result, nothing for the progress.

use std::fmt::Display;
use std::io::{self, Write};

use crate::error::BenchError;

/// Prints a result.
pub(crate) fn print(
    result: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), BenchError> {
    let mut out = io::stdout().lock();
    result(&mut out).map_err(BenchError::io("standard output"))
}

/// Says on standard error how far the run is.
pub(crate) fn say(line: impl Display) {
    // A run goes on without it.
    let _ = writeln!(io::stderr(), "{line}");
}
