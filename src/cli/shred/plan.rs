//! Which id each conversation's shred bears, and the file that keeps them: written before the first
//! is sent, removed when there is nothing left to repeat. A repetition with other ids would destroy
//! what came after the first.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use lethe_client::{Conversation, KeyspaceName, ShredId, ShredRequest};
use serde::{Deserialize, Serialize};

use super::list::Wanted;
use crate::cli::Failure;
use crate::pki::{ensure_replaceable, write_private};

const FORMAT: &str = "lethe/v1/shreds";

/// A line, and the shred that it belongs to. Lines may share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) line: usize,
    #[serde(flatten)]
    pub(super) request: ShredRequest,
}

/// First line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    keyspace: String,
    /// Everything in it is destroyed; it is kept for the lines that could not be read.
    settled: bool,
}

/// What is sent, in order of the lines.
#[derive(Debug)]
pub(super) struct Plan {
    keyspace: KeyspaceName,
    entries: Vec<Entry>,
    file: Option<PathBuf>,
    /// Goes on with ids of an earlier run.
    pub(super) resumed: bool,
}

impl Plan {
    /// New ids, unless the file holds those of an earlier run. Writes nothing yet.
    pub(super) fn make(
        keyspace: &KeyspaceName,
        wanted: &[Wanted],
        file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let kept = match &file {
            Some(path) => {
                ensure_replaceable(path)
                    .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
                kept(path, keyspace, wanted)?
            }
            None => Vec::new(),
        };
        let resumed = !kept.is_empty();
        Ok(Self {
            keyspace: keyspace.clone(),
            entries: assign(wanted, kept),
            file,
            resumed,
        })
    }

    /// Writes the ids down.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        self.named(self.write(false))
    }

    /// All is destroyed. Lines that could not be read may still be put right in their place, so
    /// the ids of the others stay as long as there are any.
    pub(super) fn settle(&self, unreadable: bool) -> Result<(), Failure> {
        self.named(match &self.file {
            Some(_) if unreadable => self.write(true),
            Some(path) => std::fs::remove_file(path),
            None => Ok(()),
        })
    }

    fn named(&self, done: io::Result<()>) -> Result<(), Failure> {
        let path = self.file.as_deref().unwrap_or(Path::new(""));
        done.map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }

    /// Each shred once, in order.
    pub(super) fn shreds(&self) -> Vec<&Entry> {
        let mut seen = std::collections::HashSet::new();
        let entries = self.entries.iter();
        entries
            .filter(|entry| seen.insert(entry.request.id()))
            .collect()
    }

    /// Every line.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    fn write(&self, settled: bool) -> io::Result<()> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let header = Header {
            format: FORMAT.to_owned(),
            keyspace: self.keyspace.as_str().to_owned(),
            settled,
        };
        let mut text = serde_json::to_string(&header)?;
        text.push('\n');
        for entry in &self.entries {
            text.push_str(&serde_json::to_string(entry)?);
            text.push('\n');
        }
        write_private(path, &text)
    }
}

/// The ids of an earlier run over the same lines. One that is not finished and does not belong to
/// them is not thrown away.
fn kept(path: &Path, keyspace: &KeyspaceName, wanted: &[Wanted]) -> Result<Vec<Entry>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
    };
    let (header, entries) = parse(&text)
        .ok_or_else(|| Failure::new(format!("{} is no list of shreds", path.display())))?;
    let same = header.keyspace == keyspace.as_str() && belong(&entries, wanted);
    match (same, header.settled) {
        (true, _) => Ok(entries),
        (false, true) => Ok(Vec::new()),
        (false, false) => Err(Failure::new(format!(
            "{} keeps the ids of an unfinished run with another content: finish that one, or remove the file to begin anew",
            path.display()
        ))),
    }
}

fn parse(text: &str) -> Option<(Header, Vec<Entry>)> {
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next()?).ok()?;
    let entries: Result<Vec<Entry>, _> = lines.map(serde_json::from_str).collect();
    let entries = entries.ok()?;
    let ordered = entries.is_sorted_by(|a, b| a.line < b.line);
    (header.format == FORMAT && ordered).then_some((header, entries))
}

/// Whether every line of the earlier run still stands at its place. Others may have come.
fn belong(entries: &[Entry], wanted: &[Wanted]) -> bool {
    let at: HashMap<_, _> = wanted.iter().map(|wanted| (wanted.line, wanted)).collect();
    entries.iter().all(|entry| {
        at.get(&entry.line).is_some_and(|wanted| {
            wanted.conversation == *entry.request.conversation()
                && wanted.id.is_none_or(|id| id == entry.request.id())
        })
    })
}

/// A conversation that stands twice among the new lines is one shred, unless the caller says
/// otherwise by two ids. One that an earlier run has sent already is a new wish.
fn assign(wanted: &[Wanted], kept: Vec<Entry>) -> Vec<Entry> {
    let mut kept = kept.into_iter().peekable();
    let mut drawn: HashMap<&Conversation, ShredId> = HashMap::new();
    let mut entries = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        if let Some(entry) = kept.next_if(|entry| entry.line == wanted.line) {
            entries.push(entry);
            continue;
        }
        let id = wanted.id.unwrap_or_else(|| {
            *drawn
                .entry(&wanted.conversation)
                .or_insert_with(ShredId::random)
        });
        drawn.entry(&wanted.conversation).or_insert(id);
        entries.push(Entry {
            line: wanted.line,
            request: ShredRequest::with_id(id, wanted.conversation.clone()),
        });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::super::list::List;
    use super::*;

    fn chat() -> KeyspaceName {
        "chat".parse().unwrap()
    }

    fn plan(text: &str, file: &Path) -> Result<Plan, Failure> {
        let list = List::read(text.as_bytes(), None);
        Plan::make(&chat(), &list.wanted, Some(file.to_owned()))
    }

    fn ids(plan: &Plan) -> Vec<String> {
        let shreds = plan.shreds();
        shreds
            .iter()
            .map(|entry| entry.request.id().to_string())
            .collect()
    }

    #[test]
    fn a_second_run_has_the_same_ids_until_all_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.shreds.jsonl");
        let first = plan("a\nb\na\n", &file).unwrap();
        assert!(!first.resumed && !file.exists());
        first.keep().unwrap();
        let again = plan("a\nb\na\n", &file).unwrap();
        assert!(again.resumed);
        assert_eq!(ids(&again), ids(&first));
        assert_eq!(ids(&again).len(), 2, "one conversation, one shred");
        again.settle(false).unwrap();
        assert!(!file.exists());
        assert_ne!(ids(&plan("a\nb\na\n", &file).unwrap()), ids(&first));
    }

    #[test]
    fn a_line_put_right_or_added_joins_the_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        let first = plan("a\n{\nb\n", &file).unwrap();
        first.keep().unwrap();
        let again = plan("a\nx\nb\na\n", &file).unwrap();
        let [a, x, b, a_again] = ids(&again).try_into().unwrap();
        assert_eq!([a.clone(), b], *ids(&first));
        assert_ne!(a, x);
        assert_ne!(a, a_again, "a new line is a new wish");
        let settled = plan("a\n{\nb\n", &file).unwrap();
        settled.settle(true).unwrap();
        assert!(plan("a\nx\nb\n", &file).unwrap().resumed);
        assert!(
            !plan("c\n", &file).unwrap().resumed,
            "nothing left to repeat"
        );
    }

    #[test]
    fn an_unfinished_run_is_not_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        plan("a\nb\n", &file).unwrap().keep().unwrap();
        for other in ["b\na\n", "a\n", "c\na\nb\n"] {
            let failure = plan(other, &file).unwrap_err();
            assert!(failure.message.contains("unfinished"), "{other}");
        }
        let list = List::read(b"a\nb\n", None);
        let other = "mail".parse().unwrap();
        assert!(Plan::make(&other, &list.wanted, Some(file.clone())).is_err());
        for garbage in ["", "{}", "a\nb\n", "{\"format\":\"lethe/v1/shreds\"}\n"] {
            std::fs::write(&file, garbage).unwrap();
            let failure = plan("a\nb\n", &file).unwrap_err();
            assert!(failure.message.contains("no list of shreds"), "{garbage}");
        }
    }

    #[test]
    fn ids_of_the_caller_are_kept_apart() {
        let id = |n: u8| format!("0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a{n:02x}");
        let line = |n| format!("{{\"conversation\":\"c\",\"id\":\"{}\"}}\n", id(n));
        let text = [line(1), line(2), line(1), "c\n".into()].concat();
        let folder = tempfile::tempdir().unwrap();
        let made = plan(&text, &folder.path().join("state")).unwrap();
        assert_eq!(ids(&made), [id(1), id(2)]);
    }
}
