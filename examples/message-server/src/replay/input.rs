//! The recording: JSON lines, gzipped, read as they are needed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

/// Lines read ahead.
const AHEAD: usize = 1_024;

/// One message of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When it was sent, then.
    pub sent_at: Timestamp,
    /// Its room.
    pub conversation: String,
    /// Who.
    pub sender: String,
    /// What.
    pub text: String,
}

/// Why there is no (further) message.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// No such file.
    #[error(
        "{0} is not there. Get the conversations with:\n    pip download --no-deps chitchat-dataset\n\
         and write them as gzipped JSON lines of sent_at, conversation, sender, text, sorted by \
         time; name the file with --input"
    )]
    Missing(String),
    /// It cannot be read.
    #[error("line {line}: {reason}")]
    Unreadable {
        /// From 1.
        line: usize,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Line {
    sent_at: String,
    conversation: String,
    sender: String,
    text: String,
}

/// An open recording.
pub struct Input(mpsc::Receiver<Result<Recorded, InputError>>);

impl Input {
    /// The next message; none at the end.
    ///
    /// # Errors
    /// The first bad line ends the recording.
    pub async fn next(&mut self) -> Result<Option<Recorded>, InputError> {
        self.0.recv().await.transpose()
    }
}

/// Begins to read, on a thread of its own.
///
/// # Errors
/// [`InputError::Missing`].
pub fn open(path: &Path) -> Result<Input, InputError> {
    let file =
        File::open(path).map_err(|_| InputError::Missing(path.to_string_lossy().into_owned()))?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let lines = BufReader::new(MultiGzDecoder::new(BufReader::new(file))).lines();
        let mut before = None;
        for (index, line) in lines.enumerate() {
            let recorded = line
                .map_err(|error| error.to_string())
                .and_then(|line| parse(&line, &mut before))
                .map_err(|reason| InputError::Unreadable {
                    line: index + 1,
                    reason,
                });
            let bad = recorded.is_err();
            if sender.blocking_send(recorded).is_err() || bad {
                return;
            }
        }
    });
    Ok(Input(receiver))
}

/// `before` is the time of the line before: the recording must be in order.
fn parse(line: &str, before: &mut Option<Timestamp>) -> Result<Recorded, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let sent_at: Timestamp = line
        .sent_at
        .parse()
        .map_err(|_| "sent_at is no RFC 3339 time")?;
    if before.is_some_and(|before| sent_at < before) {
        return Err("it was sent before the line above it".into());
    }
    *before = Some(sent_at);
    Ok(Recorded {
        sent_at,
        conversation: line.conversation,
        sender: line.sender,
        text: line.text,
    })
}
