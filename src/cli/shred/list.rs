//! Reads a list of conversations to shred, one a line. A line is the conversation's name as it is, or JSON
//! `{"conversation","id"}`, where the id of the shred is optional. A line that looks like other JSON is
//! refused: with its quotes it would name another conversation.

use std::collections::HashMap;

use clap::ValueEnum;
use lethe_client::{Conversation, ShredId};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The format of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Each line is a conversation name as it is.
    Lines,
    /// Each line is JSON: a string, or {"conversation","id"}.
    Json,
}

/// A line of the list that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct ListedShred {
    /// The line number, from 1.
    pub(super) line: usize,
    pub(in crate::cli) conversation: Conversation,
    /// The id of the shred, if the list has one.
    pub(super) id: Option<ShredId>,
}

/// A line that cannot be read. The reason quotes nothing of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) why: String,
}

/// A list that was read.
#[derive(Debug, Default)]
pub(in crate::cli) struct List {
    pub(in crate::cli) shreds: Vec<ListedShred>,
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
    /// Reads a list. Without a format a line is a conversation name or a JSON object.
    pub(in crate::cli) fn read(bytes: &[u8], format: Option<Format>) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut list = Self::default();
        let mut ids = HashMap::new();
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.is_empty() {
                continue;
            }
            let read = read_line(bytes, line, format).and_then(|shred| check_id(shred, &mut ids));
            match read {
                Ok(shred) => list.shreds.push(shred),
                Err(why) => list.unreadable.push(Unreadable { line, why }),
            }
        }
        list
    }

    /// A list from the command line, read as lines are. There are as many ids as conversations, or none.
    ///
    /// # Errors
    /// With the first conversation that cannot be read: then nothing is shredded.
    pub(super) fn from_arguments(
        conversations: &[Conversation],
        ids: &[ShredId],
        format: Option<Format>,
    ) -> Result<Self, String> {
        let ids = ids.iter().copied().map(Some).chain(std::iter::repeat(None));
        let mut list = Self::default();
        for ((line, conversation), id) in (1..).zip(conversations).zip(ids) {
            let read = read_line(conversation.as_str().as_bytes(), line, format);
            let mut shred = read.map_err(|why| format!("conversation {line}: {why}"))?;
            shred.id = id.or(shred.id);
            list.shreds.push(shred);
        }
        Ok(list)
    }
}

fn read_line(bytes: &[u8], line: usize, format: Option<Format>) -> Result<ListedShred, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let (text, id) = match format {
        Some(Format::Lines) => plain(text)?,
        Some(Format::Json) => read_json(text)?,
        None if text.starts_with('{') => read_object(text)?,
        None if looks_like_json(text) => {
            return Err(
                "it looks like JSON, and its quotes and brackets would belong to the name: \
                        use --format json, or --format lines if they do belong to it"
                    .into(),
            );
        }
        None => plain(text)?,
    };
    let conversation = text.parse().map_err(|error| format!("{error}"))?;
    Ok(ListedShred {
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
        // With its blanks it may name another conversation than intended.
        Err(
            "it begins or ends with a blank: write it as JSON if the blank belongs to the name"
                .into(),
        )
    }
}

fn read_json(text: &str) -> Result<Read, String> {
    match serde_json::from_str::<String>(text) {
        Ok(text) => Ok((text, None)),
        // serde would read a JSON array as the members in order.
        Err(_) if text.starts_with('{') => read_object(text),
        Err(_) => Err("it is neither a JSON string nor {\"conversation\",\"id\"}".into()),
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

/// Whether the line looks like a JSON string, a JSON array, or one line of an array.
fn looks_like_json(text: &str) -> bool {
    let item = text.trim_end_matches(',');
    match item.chars().next() {
        Some('"') | None => true,
        Some('[') => item == "[" || serde_json::from_str::<IgnoredAny>(item).is_ok(),
        Some(']' | '}') => item.len() == 1,
        Some(_) => false,
    }
}

/// Refuses an id that another line has with another conversation.
fn check_id(
    shred: ListedShred,
    ids: &mut HashMap<ShredId, (usize, Conversation)>,
) -> Result<ListedShred, String> {
    if let Some(id) = shred.id {
        let (line, first) = ids
            .entry(id)
            .or_insert_with(|| (shred.line, shred.conversation.clone()));
        if *first != shred.conversation {
            return Err(format!(
                "line {line} has the same id with another conversation"
            ));
        }
    }
    Ok(shred)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";

    fn shred(line: usize, conversation: &str, id: Option<&str>) -> ListedShred {
        ListedShred {
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
            list.shreds,
            [
                shred(1, "room 1", None),
                shred(3, "#x", None),
                shred(4, " {", None),
                shred(5, "c", Some(ID)),
                shred(6, "last", None),
            ]
        );
        assert!(List::read(b"\n\r\n", None).shreds.is_empty());
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
        assert_eq!(list.shreds.len(), 12);
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
                .shreds
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
    fn arguments_are_read_as_lines_are() {
        let names = |names: [&str; 2], format| {
            let named = names.map(|name| name.parse().unwrap());
            let list = List::from_arguments(&named, &[], format)?;
            let shreds = list.shreds.into_iter();
            Ok(shreds
                .map(|it| it.conversation.as_str().to_owned())
                .collect())
        };
        let quoted = ["room", "\"room 1\""];
        let refused: Result<Vec<_>, String> = names(quoted, None);
        assert!(
            refused
                .unwrap_err()
                .starts_with("conversation 2: it looks like JSON")
        );
        assert_eq!(names(quoted, Some(Format::Lines)).unwrap(), quoted);
        assert_eq!(
            names(["\"a\"", quoted[1]], Some(Format::Json)).unwrap(),
            ["a", "room 1"]
        );
    }

    #[test]
    fn one_id_for_two_conversations() {
        let line =
            |conversation| format!("{{\"conversation\":\"{conversation}\",\"id\":\"{ID}\"}}\n");
        let text = ["a", "a", "b"].map(line).concat();
        let list = List::read(text.as_bytes(), None);
        assert_eq!(list.shreds.len(), 2);
        assert_eq!(list.unreadable[0].line, 3);
        assert!(list.unreadable[0].why.contains("line 1"));
    }
}
