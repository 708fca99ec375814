use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::Failure;

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

impl Output {
    /// Prints a result as JSON or as text.
    pub(super) fn print(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.print_painted(value, || {
            let text = text();
            let lines: Vec<_> = text.split('\n').map(printable).collect();
            lines.join("\n")
        })
    }

    /// The same for a text with colours. Every part of it that comes from elsewhere must be
    /// [`printable`] already.
    pub(super) fn print_painted(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self {
            // Colours go where nobody would see them: no terminal, or NO_COLOR.
            Self::Text => writeln!(anstream::stdout(), "{}", text())?,
            Self::Json => writeln!(io::stdout(), "{}", json_text(value)?)?,
        }
        Ok(())
    }
}

/// Text from elsewhere, made safe for a terminal: characters that would move the cursor, change colours
/// or the order of characters are written as escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers_terminals) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match steers_terminals(character) {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// The value with all its texts as [`printable`].
pub(super) fn printable_value(value: &Value) -> Value {
    match value {
        Value::String(text) => printable(text).into(),
        Value::Array(items) => items.iter().map(printable_value).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), printable_value(value)))
            .collect(),
        other => other.clone(),
    }
}

/// JSON in which characters that control terminals are JSON escapes.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value)?;
    if !text.contains(steers_terminals) {
        return Ok(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers_terminals(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(character);
        }
    }
    Ok(shown)
}

/// Control characters, and those that change the order or visibility of others.
fn steers_terminals(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Prints the line of a service that is ready. A thread of its own does it, because nobody may read it.
pub(super) fn announce(line: String) {
    let announced = io::stdout().as_fd().try_clone_to_owned().and_then(|out| {
        let write = move || {
            if let Err(error) = writeln!(File::from(out), "{line}") {
                tracing::warn!(%error, "standard output does not take the line that it is ready");
            }
        };
        std::thread::Builder::new().spawn(write)
    });
    if let Err(error) = announced {
        tracing::warn!(%error, "standard output cannot be written");
    }
}

/// Asks a person, on standard error.
pub(super) fn ask(question: &str) -> Result<String, Failure> {
    let lines: Vec<_> = question.split('\n').map(printable).collect();
    let mut out = io::stderr();
    write!(out, "{}", lines.join("\n"))?;
    out.flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    Ok(typed.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{2066}\r\n\u{7f}\u{200f}\u{e0041}";

    #[test]
    fn nothing_from_elsewhere_steers_the_terminal() {
        let shown = printable(HOSTILE);
        assert!(!shown.contains(steers_terminals), "{shown}");
        assert!(
            shown.starts_with("a\\u{1b}[2Jb\\u{9b}31m\\u{202e}c"),
            "{shown}"
        );
        let plain = "Räume 1, 日本, \u{1f3e0}";
        assert_eq!(printable(plain), plain);
        let value = printable_value(&serde_json::json!({ "a": [HOSTILE, 1] }));
        assert_eq!(value["a"][0], *shown);
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = json_text(&HOSTILE).unwrap();
        assert!(!text.contains(steers_terminals), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), HOSTILE);
    }
}
