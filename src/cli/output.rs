use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// Prints a result one way or the other.
    pub(super) fn print(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self {
            // Colours go where nobody would see them: no terminal, or NO_COLOR.
            Self::Text => writeln!(anstream::stdout(), "{}", text())?,
            Self::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string(value)?)?,
        }
        Ok(())
    }
}
