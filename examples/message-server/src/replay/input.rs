//! What is replayed: a recording, JSON lines, gzipped, read as they are needed; or invented conversations.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

/// Lines read ahead.
const AHEAD: usize = 1_024;

/// One message.
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
        "{path}: {error}; a recording is a file of gzipped JSON lines of sent_at, conversation, sender, text, sorted \
         by time. Without --input, invented conversations are played"
    )]
    Missing {
        /// What was asked for.
        path: String,
        /// Why it cannot be opened.
        error: std::io::Error,
    },
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

/// Messages in order of time.
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

/// Opens a recording.
///
/// # Errors
/// [`InputError::Missing`].
pub fn open(path: &Path) -> Result<Input, InputError> {
    let file = File::open(path).map_err(|error| InputError::Missing {
        path: path.to_string_lossy().into_owned(),
        error,
    })?;
    let lines = BufReader::new(MultiGzDecoder::new(BufReader::new(file))).lines();
    let mut before = None;
    let parsed = lines.enumerate().map(move |(index, line)| {
        let recorded = line.map_err(|error| error.to_string());
        let recorded = recorded.and_then(|line| parse(&line, &mut before));
        recorded.map_err(|reason| InputError::Unreadable {
            line: index + 1,
            reason,
        })
    });
    Ok(read_ahead(parsed))
}

/// The invented conversations of a seed.
#[must_use]
pub fn invented(seed: u64) -> Input {
    read_ahead(super::invented::messages(seed).into_iter().map(Ok))
}

/// Reads on a thread of its own, up to the first error.
fn read_ahead(
    messages: impl Iterator<Item = Result<Recorded, InputError>> + Send + 'static,
) -> Input {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        for message in messages {
            let bad = message.is_err();
            if sender.blocking_send(message).is_err() || bad {
                return;
            }
        }
    });
    Input(receiver)
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
