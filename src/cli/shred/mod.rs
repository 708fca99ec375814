//! `lethe shred`: ids are drawn and kept before anything is sent.

mod list;
mod plan;
mod receipts;
mod run;
mod told;

use std::fs::{File, TryLockError};
use std::io::{IsTerminal, Read, stderr, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use lethe_client::{Client, Conversation, KeyspaceName, ShredId};
use serde_json::json;

pub(super) use self::list::{Format, List};
use self::plan::Plan;
use self::receipts::Receipts;
use self::run::{Run, Tally, Teller};
pub(super) use self::told::Told;
use super::output::{Output, ask, printable};
use super::remote::Remote;
use super::{Failure, block_on};
use crate::observability::logging;
use crate::pki::beside;

/// `lethe shred`
#[derive(Args)]
#[command(
    after_help = "The service keeps no list of names: one that never had a key, such as a misspelt one, is \
destroyed as well, and its receipt is as valid. Look at the names before."
)]
pub(super) struct Shred {
    /// Name of the keyspace.
    keyspace: KeyspaceName,
    /// What to shred.
    #[arg(required_unless_present = "list")]
    conversations: Vec<Conversation>,
    /// A file with one conversation a line, as it is or as JSON {"conversation","id"}; - for
    /// standard input.
    #[arg(
        id = "list",
        long = "in",
        value_name = "FILE",
        conflicts_with = "conversations"
    )]
    list: Option<PathBuf>,
    /// What the lines of --in are; without it an id, or {"conversation","id"}, and other JSON is
    /// refused.
    #[arg(long, value_enum, requires = "list")]
    format: Option<Format>,
    /// Reads the list, looks for the keyspace, says what would be shredded, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask; only at a terminal it would.
    #[arg(long)]
    yes: bool,
    /// Ids of the shreds, one for each conversation on the command line: those of a run that
    /// failed.
    #[arg(long, conflicts_with = "list")]
    id: Vec<ShredId>,
    /// Keeps the ids here until all is destroyed; FILE.shreds.jsonl for --in FILE.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Writes receipts and openings to this file too, as JSON lines.
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    receipts: Option<PathBuf>,
    /// Returns once all is accepted, and so irrevocable.
    #[arg(long)]
    no_wait: bool,
    /// Why, in at most 256 characters: for the audit log and the second operator.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Shred {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let (list, _lock) = self.read()?;
        if self.dry_run {
            return self.rehearse(&list, output);
        }
        let plan = Plan::make(&self.keyspace, &list.wanted, self.state_file()?)?;
        self.confirm(&list, &plan)?;
        let receipts = self.receipts.as_ref();
        let receipts = receipts.map(|path| Receipts::create(path, plan.resumed));
        let name = self.list.as_ref().map(|path| path.display().to_string());
        let teller = Teller::new(output, plan.shreds().len(), receipts.transpose()?, name);
        let client = self.remote.client()?;
        block_on(self.shred(&client, &list, &plan, teller))
    }

    /// The list, and a lock on its file: two runs at once would draw ids of their own.
    fn read(&self) -> Result<(List, Option<File>), Failure> {
        let Some(path) = &self.list else {
            if !self.id.is_empty() && self.id.len() != self.conversations.len() {
                return Err(Failure::new("as many --id as conversations, or none"));
            }
            return Ok((List::of(&self.conversations, &self.id), None));
        };
        let mut bytes = Vec::new();
        let failed = |error| Failure::new(format!("{}: {error}", path.display()));
        let lock = if path == Path::new("-") {
            std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
            None
        } else {
            let mut file = File::open(path).map_err(failed)?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                let text = format!("{}: another run is at work on it", path.display());
                return Err(Failure::new(text));
            }
            file.read_to_end(&mut bytes).map_err(failed)?;
            Some(file)
        };
        let list = List::read(&bytes, self.format);
        if list.wanted.is_empty() && list.unreadable.is_empty() {
            return Err(Failure::new(format!(
                "{} names no conversation",
                path.display()
            )));
        }
        Ok((list, lock))
    }

    /// What is about to be destroyed, said for a list and asked for at a terminal.
    fn confirm(&self, list: &List, plan: &Plan) -> Result<(), Failure> {
        let asks = !self.yes && stdin().is_terminal() && stderr().is_terminal();
        let summary = self.summary(list, plan.shreds().len());
        if !asks {
            if self.list.is_some() && !list.wanted.is_empty() {
                logging::say(&printable(&format!("lethe: {summary}")));
            }
            return Ok(());
        }
        let question = format!(
            "{summary}\nThey become unreadable, for everyone and for good; a name that never had a key gets a \
             receipt as well.\nType shred to go on: "
        );
        match ask(&question)?.as_str() {
            "shred" => Ok(()),
            _ => Err(Failure::new("nothing was done")),
        }
    }

    fn summary(&self, list: &List, shreds: usize) -> String {
        let name = |wanted: Option<&list::Wanted>| {
            wanted.map_or_else(String::new, |it| format!("{:?}", it.conversation.as_str()))
        };
        let (first, last) = (list.wanted.first(), list.wanted.last());
        let unreadable = match list.unreadable.len() {
            0 => String::new(),
            some => format!("; {some} lines cannot be read"),
        };
        let plural = if shreds == 1 { "" } else { "s" };
        format!(
            "{shreds} conversation{plural} to shred in keyspace {}, from {} to {}{unreadable}",
            self.keyspace.as_str(),
            name(first),
            name(last),
        )
    }

    /// `--dry-run`
    fn rehearse(&self, list: &List, output: Output) -> Result<(), Failure> {
        let mut names: Vec<_> = list
            .wanted
            .iter()
            .map(|it| it.conversation.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        let file = self.list.as_ref().map(|path| path.display().to_string());
        for bad in &list.unreadable {
            let file = file.as_deref().unwrap_or_default();
            logging::say(&printable(&format!(
                "lethe: {file}:{}: {}",
                bad.line, bad.why
            )));
        }
        let client = self.remote.client()?;
        block_on(async { Ok(client.keyspace(&self.keyspace).await?) })?;
        let shown = json!({ "keyspace": self.keyspace.as_str(), "dry_run": true,
            "conversations": names.len(), "unreadable": list.unreadable.len() });
        output.print(&shown, || {
            format!("nothing was done: {}", self.summary(list, names.len()))
        })?;
        match list.unreadable.len() {
            0 => Ok(()),
            some => Err(Failure::new(format!("{some} lines cannot be read"))),
        }
    }

    fn state_file(&self) -> Result<Option<PathBuf>, Failure> {
        match (&self.state, &self.list) {
            (Some(path), _) => Ok(Some(path.clone())),
            (None, Some(path)) if path == Path::new("-") => Err(Failure::new(
                "standard input needs --state FILE, to keep the ids for a second run",
            )),
            (None, Some(path)) => Ok(Some(beside(path, "shreds.jsonl"))),
            (None, None) => Ok(None),
        }
    }

    async fn shred(
        &self,
        client: &Client,
        list: &List,
        plan: &Plan,
        teller: Teller,
    ) -> Result<(), Failure> {
        for bad in &list.unreadable {
            teller.unreadable(bad.line, &bad.why)?;
        }
        if plan.file().is_some() && !plan.resumed {
            // A wrong name is no reason to leave a file behind.
            client.keyspace(&self.keyspace).await?;
        }
        plan.keep()?;
        let mut run = Run {
            client,
            keyspace: &self.keyspace,
            wait: !self.no_wait,
            reason: self.reason.as_deref(),
            teller,
            tally: Tally::default(),
        };
        let shreds = plan.shreds();
        let sent = run.shred(&shreds).await;
        let (tally, refusals) = (run.tally, run.teller.take_refusals());
        let told = run.teller.finish();
        let unfinished = sent.and(told).err();
        if unfinished.is_none() && tally.refused == 0 && tally.waiting == 0 {
            plan.settle(!list.unreadable.is_empty())?;
        }
        let mut reasons = refusals;
        reasons.extend(unfinished.map(|failure| failure.message));
        self.verdict(list, plan, tally, reasons)
    }

    fn verdict(
        &self,
        list: &List,
        plan: &Plan,
        tally: Tally,
        reasons: Vec<String>,
    ) -> Result<(), Failure> {
        let mut parts = reasons;
        if tally.refused > 0 && self.list.is_some() {
            parts.push(format!("{} refused", tally.refused));
        }
        if tally.waiting > 0 {
            let waiting = tally.waiting;
            parts.push(format!(
                "{waiting} wait for a second operator's `lethe approve`"
            ));
        }
        if !list.unreadable.is_empty() {
            parts.push(format!("{} lines cannot be read", list.unreadable.len()));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let done = tally.destroyed + tally.accepted;
        let verb = if self.no_wait {
            "accepted"
        } else {
            "destroyed"
        };
        parts.push(format!("{done} of {} {verb}", plan.shreds().len()));
        parts.extend(self.repeat(plan));
        Err(Failure::new(parts.join("; ")))
    }

    /// How to go on with the same ids.
    fn repeat(&self, plan: &Plan) -> Option<String> {
        match plan.file() {
            Some(path) if path.exists() => Some(format!(
                "run it again to go on, the ids are kept in {}",
                path.display()
            )),
            Some(_) => None,
            None => {
                let ids = plan
                    .entries()
                    .iter()
                    .map(|entry| format!("--id {}", entry.request.id()));
                let ids = ids.collect::<Vec<_>>().join(" ");
                Some(format!("to repeat it, add {ids}"))
            }
        }
    }
}
