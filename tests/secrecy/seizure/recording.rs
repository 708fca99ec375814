//! Conversations as people hold them: those of the recording that `LETHE_RECORDING` names (lines of
//! JSON with a member `conversation`, compressed by gzip), else made up, some busy and many quiet.

use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    conversation: String,
}

/// The conversation of each message, in the order of the messages, so many spread over all.
pub fn conversations(messages: usize) -> Vec<String> {
    let recording = std::env::var_os("LETHE_RECORDING").map(|path| File::open(path).unwrap());
    let all = recording.map_or_else(made_up, recorded);
    let step = (all.len() / messages).max(1);
    all.into_iter().step_by(step).take(messages).collect()
}

fn recorded(file: File) -> Vec<String> {
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines();
    let conversation = |line: std::io::Result<String>| {
        let line: Line = serde_json::from_str(&line.unwrap()).unwrap();
        line.conversation
    };
    lines.map(conversation).collect()
}

fn made_up() -> Vec<String> {
    let room = |message: usize| format!("room {}", message * message % 11_003);
    (0..50_000).map(room).collect()
}
