//! JSON lines in batches of bounded size, however long the file or a line is.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use lethe_client::UnwrapRequest;
use lethe_core::wrapped_key::WrappedKey;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// The longest line that is rewrapped. A longer one is bad, and is copied in pieces of this size.
const LONGEST_LINE: usize = 16 << 20;
/// Most bytes of lines in one batch.
const MOST_BYTES: usize = 1 << 20;

/// Why a line is not rewrapped. Quotes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    /// The name of the reason; bad lines are counted by it.
    pub(super) code: Cow<'static, str>,
    pub(super) detail: Cow<'static, str>,
}

/// Where a line's wrapped key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) version: u32,
    /// The bytes of the line that are the wrapped key as a JSON string, with its quotes.
    place: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The line has a wrapped key: the next one of the batch's requests is for it.
    Key(Key),
    Bad(Bad),
    Blank,
    /// A further piece of a line that is too long.
    Rest,
}

#[derive(Debug)]
pub(super) struct Line {
    /// The number of the line in the file, from 1.
    pub(super) number: u64,
    place: Range<usize>,
    pub(super) content: Content,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The bytes of all lines of the batch.
    pub(super) text: Vec<u8>,
    pub(super) lines: Vec<Line>,
    /// A request for each line with a key, in the order of the lines.
    pub(super) requests: Vec<UnwrapRequest>,
    /// Whether the batch ends at the end of a line.
    pub(super) whole: bool,
}

impl Batch {
    pub(super) fn text_of(&self, line: &Line) -> &[u8] {
        &self.text[line.place.clone()]
    }

    /// A line with another key in place of its own. All other bytes stay.
    pub(super) fn rewrapped<'a>(&'a self, line: &Line, key: &Key, new: &'a str) -> [&'a [u8]; 5] {
        let text = self.text_of(line);
        let Range { start, end } = key.place;
        [&text[..start], b"\"", new.as_bytes(), b"\"", &text[end..]]
    }
}

/// Cuts what it reads into lines.
pub(super) struct Reader<R> {
    input: R,
    number: u64,
    /// Whether the last piece read is a part of a line that is too long.
    inside: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads lines; `lines` lines were read before.
    pub(super) const fn new(input: R, lines: u64) -> Self {
        Self {
            input,
            number: lines,
            inside: false,
        }
    }

    /// The next lines, at most `most`; none at the end of the input.
    pub(super) fn batch(&mut self, most: usize) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        while batch.lines.len() < most && batch.text.len() < MOST_BYTES {
            if !self.line(&mut batch)? {
                break;
            }
        }
        batch.whole = !self.inside;
        Ok((!batch.lines.is_empty()).then_some(batch))
    }

    fn line(&mut self, batch: &mut Batch) -> io::Result<bool> {
        let start = batch.text.len();
        let mut piece = Read::by_ref(&mut self.input).take(LONGEST_LINE as u64);
        let read = piece.read_until(b'\n', &mut batch.text)?;
        if read == 0 {
            self.inside = false;
            return Ok(false);
        }
        let goes_on = std::mem::replace(
            &mut self.inside,
            read == LONGEST_LINE && !batch.text.ends_with(b"\n"),
        );
        self.number += u64::from(!goes_on);
        let content = if goes_on {
            Content::Rest
        } else if self.inside {
            Content::Bad(bad("too_long", "it is longer than 16 MiB"))
        } else {
            self.read(&batch.text[start..], &mut batch.requests)
        };
        batch.lines.push(Line {
            number: self.number,
            place: start..batch.text.len(),
            content,
        });
        Ok(true)
    }

    fn read(&self, line: &[u8], requests: &mut Vec<UnwrapRequest>) -> Content {
        if line.trim_ascii().is_empty() {
            return Content::Blank;
        }
        match parse(line, self.number == 1) {
            Ok((key, request)) => {
                requests.push(request);
                Content::Key(key)
            }
            Err(bad) => Content::Bad(bad),
        }
    }
}

/// Other members are nobody's business here.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow)]
    wrapped_key: Option<&'a RawValue>,
}

fn parse(line: &[u8], first: bool) -> Result<(Key, UnwrapRequest), Bad> {
    let json = match line.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if first => rest,
        _ => line,
    };
    // serde takes an array of the members too.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(bad("invalid_json", "it is not a JSON object"));
    }
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| invalid(&error))?;
    let missing = |name: &str| bad("missing_field", format!("it has no {name}"));
    let conversation = members
        .conversation
        .ok_or_else(|| missing("conversation"))?;
    let raw = members.wrapped_key.ok_or_else(|| missing("wrapped_key"))?;
    let conversation = text(conversation)
        .ok_or_else(|| bad("invalid_conversation", "conversation is not text"))?
        .parse()
        .map_err(|error| bad("invalid_conversation", format!("{error}")))?;
    let no_key = || bad("invalid_wrapped_key", "wrapped_key is not a wrapped key");
    let wrapped = text(raw).ok_or_else(no_key)?;
    let header = wrapped
        .parse::<WrappedKey>()
        .map_err(|_| no_key())?
        .header();
    let start = raw.get().as_ptr().addr() - line.as_ptr().addr();
    let key = Key {
        version: header.version.number(),
        place: start..start + raw.get().len(),
    };
    let wrapped = wrapped.parse().map_err(|_| no_key())?;
    Ok((key, UnwrapRequest::new(conversation, wrapped)))
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn invalid(error: &serde_json::Error) -> Bad {
    let what = match error.classify() {
        Category::Data => "a member stands twice",
        Category::Eof => "its JSON ends early",
        Category::Syntax | Category::Io => "it is not JSON",
    };
    bad(
        "invalid_json",
        format!("{what} (column {})", error.column()),
    )
}

fn bad(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Bad {
    Bad {
        code: Cow::Borrowed(code),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests;
