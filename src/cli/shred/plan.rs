//! The ids of the shreds, and the file that keeps them. The file is written before the first shred is sent,
//! and removed when all are destroyed. A second run with other ids would also destroy keys that were issued
//! after the first run.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use lethe_client::{Conversation, KeyspaceName, ShredId, ShredRequest};
use serde::{Deserialize, Serialize};

use super::list::ListedShred;
use crate::cli::Failure;
use crate::pki::{ensure_replaceable, write_private};

const FORMAT: &str = "lethe/v1/shreds";

/// A line of the list and its shred. Lines with the same conversation share a shred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedShred {
    pub(super) line: usize,
    #[serde(flatten)]
    pub(super) request: ShredRequest,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    keyspace: String,
    /// All shreds in the file are destroyed. The file is kept because of lines that could not be read.
    settled: bool,
}

/// The shreds that are sent, in the order of the lines.
#[derive(Debug)]
pub(super) struct Plan {
    keyspace: KeyspaceName,
    entries: Vec<PlannedShred>,
    file: Option<PathBuf>,
    /// Whether the ids are those of an earlier run.
    pub(super) resumed: bool,
}

impl Plan {
    /// Takes the ids from the file of an earlier run, or draws new ones. Writes nothing yet.
    pub(super) fn make(
        keyspace: &KeyspaceName,
        listed: &[ListedShred],
        file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let kept = match &file {
            Some(path) => {
                ensure_replaceable(path)
                    .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
                ids_of_earlier_run(path, keyspace, listed)?
            }
            None => Vec::new(),
        };
        let resumed = !kept.is_empty();
        Ok(Self {
            keyspace: keyspace.clone(),
            entries: assign_ids(listed, kept),
            file,
            resumed,
        })
    }

    /// Writes the ids to the file.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        self.with_path(self.write(false))
    }

    /// All shreds are destroyed: removes the file. If there are lines that could not be read, keeps it, so that
    /// a run with the corrected lines has the same ids for the others.
    pub(super) fn finish(&self, unreadable: bool) -> Result<(), Failure> {
        self.with_path(match &self.file {
            Some(_) if unreadable => self.write(true),
            Some(path) => std::fs::remove_file(path),
            None => Ok(()),
        })
    }

    fn with_path(&self, done: io::Result<()>) -> Result<(), Failure> {
        let path = self.file.as_deref().unwrap_or(Path::new(""));
        done.map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }

    /// The shreds in order, each once.
    pub(super) fn shreds(&self) -> Vec<&PlannedShred> {
        let mut seen = std::collections::HashSet::new();
        let entries = self.entries.iter();
        entries
            .filter(|entry| seen.insert(entry.request.id()))
            .collect()
    }

    /// All lines.
    pub(super) fn entries(&self) -> &[PlannedShred] {
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

/// The ids of an earlier run over the same lines. Fails if the file is of an unfinished run over other lines.
fn ids_of_earlier_run(
    path: &Path,
    keyspace: &KeyspaceName,
    listed: &[ListedShred],
) -> Result<Vec<PlannedShred>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
    };
    let (header, entries) = parse(&text)
        .ok_or_else(|| Failure::new(format!("{} is no list of shreds", path.display())))?;
    let same = header.keyspace == keyspace.as_str() && are_in_list(&entries, listed);
    match (same, header.settled) {
        (true, _) => Ok(entries),
        (false, true) => Ok(Vec::new()),
        (false, false) => Err(Failure::new(format!(
            "{} keeps the ids of an unfinished run over another list: finish that run, or remove the file",
            path.display()
        ))),
    }
}

fn parse(text: &str) -> Option<(Header, Vec<PlannedShred>)> {
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next()?).ok()?;
    let entries: Result<Vec<PlannedShred>, _> = lines.map(serde_json::from_str).collect();
    let entries = entries.ok()?;
    let ordered = entries.is_sorted_by(|a, b| a.line < b.line);
    (header.format == FORMAT && ordered).then_some((header, entries))
}

/// Whether the list still has every line of the earlier run at its place. It may have more lines.
fn are_in_list(entries: &[PlannedShred], listed: &[ListedShred]) -> bool {
    let at: HashMap<_, _> = listed.iter().map(|listed| (listed.line, listed)).collect();
    entries.iter().all(|entry| {
        at.get(&entry.line).is_some_and(|listed| {
            listed.conversation == *entry.request.conversation()
                && listed.id.is_none_or(|id| id == entry.request.id())
        })
    })
}

/// Gives each line its shred. New lines with the same conversation are one shred, unless they have different
/// ids. A new line with a conversation of the earlier run is a new shred.
fn assign_ids(listed: &[ListedShred], kept: Vec<PlannedShred>) -> Vec<PlannedShred> {
    let mut kept = kept.into_iter().peekable();
    let mut drawn: HashMap<&Conversation, ShredId> = HashMap::new();
    let mut entries = Vec::with_capacity(listed.len());
    for listed in listed {
        if let Some(entry) = kept.next_if(|entry| entry.line == listed.line) {
            entries.push(entry);
            continue;
        }
        let id = listed.id.unwrap_or_else(|| {
            *drawn
                .entry(&listed.conversation)
                .or_insert_with(ShredId::random)
        });
        drawn.entry(&listed.conversation).or_insert(id);
        entries.push(PlannedShred {
            line: listed.line,
            request: ShredRequest::with_id(id, listed.conversation.clone()),
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
        Plan::make(&chat(), &list.shreds, Some(file.to_owned()))
    }

    fn ids(plan: &Plan) -> Vec<String> {
        let shreds = plan.shreds();
        shreds
            .iter()
            .map(|entry| entry.request.id().to_string())
            .collect()
    }

    #[test]
    fn a_second_run_has_the_same_ids_until_all_are_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.shreds.jsonl");
        let first = plan("a\nb\na\n", &file).unwrap();
        assert!(!first.resumed && !file.exists());
        first.keep().unwrap();
        let again = plan("a\nb\na\n", &file).unwrap();
        assert!(again.resumed);
        assert_eq!(ids(&again), ids(&first));
        assert_eq!(ids(&again).len(), 2, "one conversation, one shred");
        again.finish(false).unwrap();
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
        assert_ne!(a, a_again, "a new line is a new shred");
        let settled = plan("a\n{\nb\n", &file).unwrap();
        settled.finish(true).unwrap();
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
        assert!(Plan::make(&other, &list.shreds, Some(file.clone())).is_err());
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
