//! What is to be shredded, one conversation a line: its id as it is, or JSON
//! `{"conversation","id"}`, where the id of the shred may be left out. Other JSON is no id that
//! somebody gave a conversation: with its quotes it would name another one.

use std::collections::HashMap;

use clap::ValueEnum;
use lethe_client::{Conversation, ShredId};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Each line is an id, whatever is in it.
    Lines,
    /// Each line is JSON: a text, or {"conversation","id"}.
    Json,
}

/// One line that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Wanted {
    /// From 1.
    pub(super) line: usize,
    pub(in crate::cli) conversation: Conversation,
    /// If the caller has chosen one.
    pub(super) id: Option<ShredId>,
}

/// One that cannot. The reason quotes nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) why: String,
}

#[derive(Debug, Default)]
pub(in crate::cli) struct List {
    pub(in crate::cli) wanted: Vec<Wanted>,
    pub(super) unreadable: Vec<Unreadable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLine {
    conversation: String,
    #[serde(default)]
    id: Option<ShredId>,
}

impl List {
    /// Without a format a line is an id or a JSON object.
    pub(in crate::cli) fn read(bytes: &[u8], format: Option<Format>) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut list = Self::default();
        let mut ids = HashMap::new();
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.is_empty() {
                continue;
            }
            let read =
                read_line(bytes, line, format).and_then(|wanted| unambiguous(wanted, &mut ids));
            match read {
                Ok(wanted) => list.wanted.push(wanted),
                Err(why) => list.unreadable.push(Unreadable { line, why }),
            }
        }
        list
    }

    /// From the command line; ids in the same order, or none.
    pub(super) fn of(conversations: &[Conversation], ids: &[ShredId]) -> Self {
        let ids = ids.iter().copied().map(Some).chain(std::iter::repeat(None));
        let wanted = (1..).zip(conversations).zip(ids);
        Self {
            wanted: wanted
                .map(|((line, conversation), id)| Wanted {
                    line,
                    conversation: conversation.clone(),
                    id,
                })
                .collect(),
            unreadable: Vec::new(),
        }
    }
}

fn read_line(bytes: &[u8], line: usize, format: Option<Format>) -> Result<Wanted, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let (text, id) = match format {
        Some(Format::Lines) => plain(text)?,
        Some(Format::Json) => read_json(text)?,
        None if text.starts_with('{') => read_object(text)?,
        None if looks_like_json(text) => {
            return Err(
                "it looks like JSON, and would be taken with its quotes and brackets: \
                        say --format json, or --format lines if they belong to the id"
                    .into(),
            );
        }
        None => plain(text)?,
    };
    let conversation = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Wanted {
        line,
        conversation,
        id,
    })
}

type Read = (String, Option<ShredId>);

fn plain(text: &str) -> Result<Read, String> {
    if text.trim() == text {
        Ok((text.to_owned(), None))
    } else {
        // Taken byte for byte it would name another conversation than the one that was meant.
        Err("it begins or ends with a blank: write it as JSON if that is meant".into())
    }
}

fn read_json(text: &str) -> Result<Read, String> {
    match serde_json::from_str::<String>(text) {
        Ok(text) => Ok((text, None)),
        // A list would be taken for the members in their order.
        Err(_) if text.starts_with('{') => read_object(text),
        Err(_) => Err("it is neither a JSON text nor {\"conversation\",\"id\"}".into()),
    }
}

fn read_object(text: &str) -> Result<Read, String> {
    let json: JsonLine = serde_json::from_str(text).map_err(|error| {
        let kind = error.classify();
        format!(
            "it is not {{\"conversation\",\"id\"}}: {kind:?} error at column {}",
            error.column()
        )
    })?;
    Ok((json.conversation, json.id))
}

/// A text, a list, or a line of a list that is written over several.
fn looks_like_json(text: &str) -> bool {
    let item = text.trim_end_matches(',');
    match item.chars().next() {
        Some('"') | None => true,
        Some('[') => item == "[" || serde_json::from_str::<IgnoredAny>(item).is_ok(),
        Some(']' | '}') => item.len() == 1,
        Some(_) => false,
    }
}

/// An id names one shred.
fn unambiguous(
    wanted: Wanted,
    ids: &mut HashMap<ShredId, (usize, Conversation)>,
) -> Result<Wanted, String> {
    if let Some(id) = wanted.id {
        let (line, first) = ids
            .entry(id)
            .or_insert_with(|| (wanted.line, wanted.conversation.clone()));
        if *first != wanted.conversation {
            return Err(format!("its id is that of line {line}"));
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";

    fn wanted(line: usize, conversation: &str, id: Option<&str>) -> Wanted {
        Wanted {
            line,
            conversation: conversation.parse().unwrap(),
            id: id.map(|id| id.parse().unwrap()),
        }
    }

    #[test]
    fn text_and_json_side_by_side() {
        let text = format!(
            "\u{feff}room 1\r\n\n#x\n{{\"conversation\":\" {{\"}}\n\
             {{\"id\":\"{ID}\",\"conversation\":\"c\"}}\nlast"
        );
        let list = List::read(text.as_bytes(), None);
        assert_eq!(list.unreadable, []);
        assert_eq!(
            list.wanted,
            [
                wanted(1, "room 1", None),
                wanted(3, "#x", None),
                wanted(4, " {", None),
                wanted(5, "c", Some(ID)),
                wanted(6, "last", None),
            ]
        );
        assert!(List::read(b"\n\r\n", None).wanted.is_empty());
    }

    #[test]
    fn bad_lines_have_numbers_and_do_not_touch_the_others() {
        let long = "x".repeat(257);
        let secret = "{\"conversation\":\"secret\"";
        let bad: [&[u8]; 13] = [
            b"\xff",
            b" c",
            b"c\t",
            b"  ",
            b"a\x00b",
            long.as_bytes(),
            secret.as_bytes(),
            b"{}",
            b"{\"conversation\":\"\"}",
            b"{\"conversation\":7}",
            b"{\"conversation\":\"c\",\"id\":\"7\"}",
            b"{\"conversation\":\"c\",\"wrapped_key\":\"\"}",
            b"{\"conversation\":\"c\"} more",
        ];
        let text = bad.join(b"\ngood\n".as_slice());
        let list = List::read(&text, None);
        let lines: Vec<_> = list.unreadable.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, (0..13).map(|n| 2 * n + 1).collect::<Vec<_>>());
        assert_eq!(list.wanted.len(), 12);
        assert!(
            list.unreadable
                .iter()
                .all(|bad| !bad.why.contains("secret"))
        );
    }

    #[test]
    fn json_that_is_no_object_is_refused_unless_the_format_says_so() {
        let names = |text: &str, format| {
            let list = List::read(text.as_bytes(), format);
            let names = list
                .wanted
                .iter()
                .map(|it| it.conversation.as_str().to_owned());
            (names.collect::<Vec<_>>(), list.unreadable.len())
        };
        // jq without -r, a list on one line, a list on several.
        let json = "\"room 1\"\n[\"a\",\"b\"]\n[\n\"a\",\n\"b\"\n],\n]\n\"a\n[]\n[1]\n}\n,\n";
        assert_eq!(names(json, None), (vec![], 12));
        let plain = "7\ntrue\n[general]\n#x\na\"b\n-\n]x\n";
        assert_eq!(names(plain, None).0.len(), 7);

        let lines = Some(Format::Lines);
        let taken = names("\"room 1\"\n[\"a\"]\n{}\n x\n", lines);
        assert_eq!(taken.0, ["\"room 1\"", "[\"a\"]", "{}"]);
        assert_eq!(taken.1, 1);

        let taken = names(
            "\"room 1\"\n{\"conversation\":\"b\"}\n\" c\"\nd\n[\"e\"]\n7\n",
            Some(Format::Json),
        );
        assert_eq!(taken.0, ["room 1", "b", " c"]);
        assert_eq!(taken.1, 3);
    }

    #[test]
    fn one_id_for_two_conversations() {
        let line =
            |conversation| format!("{{\"conversation\":\"{conversation}\",\"id\":\"{ID}\"}}\n");
        let text = ["a", "a", "b"].map(line).concat();
        let list = List::read(text.as_bytes(), None);
        assert_eq!(list.wanted.len(), 2);
        assert_eq!(list.unreadable[0].line, 3);
        assert!(list.unreadable[0].why.contains("line 1"));
    }
}
