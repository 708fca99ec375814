//! `lethe shred`: shreds conversations. The ids are drawn and kept in a file before anything is sent.

mod list;
mod plan;
mod receipts;
mod report;
mod run;

use std::fs::{File, TryLockError};
use std::io::{IsTerminal, Read, stderr, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use lethe_client::{Client, Conversation, KeyspaceName, ShredId};
use serde_json::json;

pub(super) use self::list::{Format, List};
use self::plan::Plan;
use self::receipts::Receipts;
pub(super) use self::report::ShredReport;
use self::run::{Reporter, Run, Tally};
use super::output::{Output, ask, printable};
use super::remote::Remote;
use super::{Failure, block_on};
use crate::observability::logging;
use crate::pki::beside;

/// `lethe shred`
#[derive(Args)]
#[command(
    after_help = "The service keeps no list of names: a name that never had a key, such as a misspelt one, gets a \
valid receipt too. Check the names before."
)]
pub(super) struct Shred {
    /// Name of the keyspace.
    keyspace: KeyspaceName,
    /// The conversations to shred.
    #[arg(required_unless_present = "list")]
    conversations: Vec<Conversation>,
    /// File with one conversation a line, as it is or as JSON {"conversation","id"}; - for standard input.
    #[arg(
        id = "list",
        long = "in",
        value_name = "FILE",
        conflicts_with = "conversations"
    )]
    list: Option<PathBuf>,
    /// Format of the conversations. Without it each is a name or {"conversation","id"}, and other JSON is
    /// refused.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Reads the list, checks the keyspace, prints what would be shredded, and shreds nothing.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation. Without it the command asks at a terminal.
    #[arg(long)]
    yes: bool,
    /// Ids of the shreds of a run that failed, one for each conversation on the command line.
    #[arg(long, conflicts_with = "list")]
    id: Vec<ShredId>,
    /// File that keeps the ids until all shreds are destroyed. The default for --in FILE is
    /// FILE.shreds.jsonl.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Also writes receipts and openings to this file, as JSON lines.
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    receipts: Option<PathBuf>,
    /// Returns when all shreds are accepted. They cannot be taken back from then on.
    #[arg(long)]
    no_wait: bool,
    /// Reason, at most 256 characters, for the audit log and the second operator.
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
        let plan = Plan::make(&self.keyspace, &list.shreds, self.state_file()?)?;
        self.confirm(&list, &plan)?;
        let receipts = self.receipts.as_ref();
        let receipts = receipts.map(|path| Receipts::create(path, plan.resumed));
        let name = self.list.as_ref().map(|path| path.display().to_string());
        let reporter = Reporter::new(output, plan.shreds().len(), receipts.transpose()?, name);
        let client = self.remote.client()?;
        block_on(self.shred(&client, &list, &plan, reporter))
    }

    /// The list, and a lock on its file: a second run at the same time would draw other ids.
    fn read(&self) -> Result<(List, Option<File>), Failure> {
        let Some(path) = &self.list else {
            if !self.id.is_empty() && self.id.len() != self.conversations.len() {
                return Err(Failure::new("give one --id for each conversation, or none"));
            }
            let list = List::from_arguments(&self.conversations, &self.id, self.format);
            return Ok((list.map_err(Failure::new)?, None));
        };
        let mut bytes = Vec::new();
        let failed = |error| Failure::new(format!("{}: {error}", path.display()));
        let lock = if path == Path::new("-") {
            std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
            None
        } else {
            let mut file = File::open(path).map_err(failed)?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                let text = format!("{}: another run uses it", path.display());
                return Err(Failure::new(text));
            }
            file.read_to_end(&mut bytes).map_err(failed)?;
            Some(file)
        };
        let list = List::read(&bytes, self.format);
        if list.shreds.is_empty() && list.unreadable.is_empty() {
            return Err(Failure::new(format!(
                "{} names no conversation",
                path.display()
            )));
        }
        Ok((list, lock))
    }

    /// Prints what will be destroyed, and asks for confirmation at a terminal.
    fn confirm(&self, list: &List, plan: &Plan) -> Result<(), Failure> {
        let asks = !self.yes && stdin().is_terminal() && stderr().is_terminal();
        let summary = self.summary(list, plan.shreds().len());
        if !asks {
            if self.list.is_some() && !list.shreds.is_empty() {
                logging::say(&printable(&format!("lethe: {summary}")));
            }
            return Ok(());
        }
        let question = format!(
            "{summary}\nNobody can ever read them again. A name that never had a key gets a receipt too.\nType \
             shred to go on: "
        );
        match ask(&question)?.as_str() {
            "shred" => Ok(()),
            _ => Err(Failure::new("nothing was done")),
        }
    }

    fn summary(&self, list: &List, shreds: usize) -> String {
        let name = |shred: Option<&list::ListedShred>| {
            shred.map_or_else(String::new, |it| format!("{:?}", it.conversation.as_str()))
        };
        let (first, last) = (list.shreds.first(), list.shreds.last());
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

    /// `--dry-run`: prints what would be shredded.
    fn rehearse(&self, list: &List, output: Output) -> Result<(), Failure> {
        let mut names: Vec<_> = list
            .shreds
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
        reporter: Reporter,
    ) -> Result<(), Failure> {
        for bad in &list.unreadable {
            reporter.unreadable(bad.line, &bad.why)?;
        }
        if plan.file().is_some() && !plan.resumed {
            // If the keyspace does not exist, no file is written.
            client.keyspace(&self.keyspace).await?;
        }
        plan.keep()?;
        let mut run = Run {
            client,
            keyspace: &self.keyspace,
            wait: !self.no_wait,
            reason: self.reason.as_deref(),
            reporter,
            tally: Tally::default(),
        };
        let shreds = plan.shreds();
        let sent = run.shred(&shreds).await;
        let (tally, refusals) = (run.tally, run.reporter.take_refusals());
        let finished = run.reporter.finish();
        let unfinished = sent.and(finished).err();
        if unfinished.is_none() && tally.refused == 0 && tally.waiting == 0 {
            plan.finish(!list.unreadable.is_empty())?;
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

    /// How to run the command again with the same ids.
    fn repeat(&self, plan: &Plan) -> Option<String> {
        match plan.file() {
            Some(path) if path.exists() => Some(format!(
                "run the command again to go on: the ids are in {}",
                path.display()
            )),
            Some(_) => None,
            None => {
                let ids = plan
                    .entries()
                    .iter()
                    .map(|entry| format!("--id {}", entry.request.id()));
                let ids = ids.collect::<Vec<_>>().join(" ");
                Some(format!("to run it again, add {ids}"))
            }
        }
    }
}
