//! Sends what a plan says, follows what is accepted, and tells each end as it comes.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use lethe_client::{Client, ErrorCode, KeyspaceName, Problem, Shred, ShredRequest};
use serde_json::Value;

use super::plan::Entry;
use super::receipts::Receipts;
use super::told::{self, Told};
use crate::cli::Failure;
use crate::cli::output::{Output, json_text, printable};
use crate::observability::logging;

/// As many as one call takes.
const BATCH: usize = 1_000;
/// Batches on their way: the service finds the next one when it is done with the one before.
const AT_ONCE: usize = 2;
const QUESTIONS_AT_ONCE: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How it went.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) destroyed: usize,
    /// Not followed further: `--no-wait`.
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// For a second operator.
    pub(super) waiting: usize,
}

pub(super) struct Run<'a> {
    pub(super) client: &'a Client,
    pub(super) keyspace: &'a KeyspaceName,
    /// Follows what is accepted until it is destroyed.
    pub(super) wait: bool,
    /// Why.
    pub(super) reason: Option<&'a str>,
    pub(super) teller: Teller,
    pub(super) tally: Tally,
}

impl Run<'_> {
    /// All of them. What was told until an error stays told.
    pub(super) async fn shred(&mut self, entries: &[&Entry]) -> Result<(), Failure> {
        let (client, keyspace, wait) = (self.client, self.keyspace, self.wait);
        let reason = self.reason;
        let batches = stream::iter(entries.chunks(BATCH)).map(async |batch| {
            let request = |entry: &&Entry| entry.request.clone().because(reason);
            let requests: Vec<ShredRequest> = batch.iter().map(request).collect();
            let answers = if wait {
                client.shred_batch(keyspace, &requests).await
            } else {
                client.accept_shred_batch(keyspace, &requests).await
            };
            answers.map(|answers| (batch, answers))
        });
        let mut answered = batches.buffered(AT_ONCE);
        let mut pending = Vec::new();
        while let Some((batch, answers)) = answered.try_next().await? {
            for (entry, answer) in batch.iter().zip(answers) {
                let accepted = self.settle(entry, answer)?;
                pending.extend(accepted.map(|shred| (*entry, shred)));
            }
        }
        self.follow(pending).await
    }

    /// Gives it back while its end is to be waited for.
    fn settle(
        &mut self,
        entry: &Entry,
        answer: Result<Shred, Problem>,
    ) -> Result<Option<Shred>, Failure> {
        match answer {
            Ok(shred @ Shred::Destroyed(_)) => {
                self.tally.destroyed += 1;
                self.teller.shred(entry, &shred)?;
            }
            Ok(shred @ Shred::Accepted { .. }) if self.wait => return Ok(Some(shred)),
            Ok(shred) => {
                self.tally.accepted += 1;
                self.teller.shred(entry, &shred)?;
            }
            Err(problem) if problem.code == ErrorCode::ApprovalRequired => {
                self.tally.waiting += 1;
                self.teller.waits(entry, &problem)?;
            }
            Err(problem) => {
                self.tally.refused += 1;
                self.teller.refused(entry, &problem)?;
            }
        }
        Ok(None)
    }

    async fn follow(&mut self, mut pending: Vec<(&Entry, Shred)>) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        while !pending.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let (client, keyspace) = (self.client, self.keyspace);
            let questions = stream::iter(pending).map(async |(entry, earlier)| {
                let shred = client.shred_status(keyspace, entry.request.id()).await;
                shred.map(|shred| (entry, shred.or_opening_of(earlier)))
            });
            let mut answers = questions.buffered(QUESTIONS_AT_ONCE);
            let mut still = Vec::new();
            while let Some((entry, shred)) = answers.try_next().await? {
                let accepted = self.settle(entry, Ok(shred))?;
                still.extend(accepted.map(|shred| (entry, shred)));
            }
            drop(answers);
            pending = still;
        }
        Ok(())
    }
}

/// Where results go.
pub(super) struct Teller {
    output: Output,
    bar: ProgressBar,
    receipts: Option<Receipts>,
    /// What stands before a line number in errors; none for the command line.
    list: Option<String>,
    /// Of conversations on the command line, for the one line at the end.
    refusals: Vec<String>,
    /// What second operators have to say, each once.
    approvals: BTreeSet<String>,
}

impl Teller {
    pub(super) fn new(
        output: Output,
        length: usize,
        receipts: Option<Receipts>,
        list: Option<String>,
    ) -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::new(length as u64);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            output,
            bar,
            receipts,
            list,
            refusals: Vec::new(),
            approvals: BTreeSet::new(),
        }
    }

    fn shred(&mut self, entry: &Entry, shred: &Shred) -> Result<(), Failure> {
        let conversation = entry.request.conversation();
        let told = Told::of(shred).with(conversation);
        let json = json_text(&told)?;
        if let Some(receipts) = &mut self.receipts {
            receipts.add(&json)?;
        }
        let text = match self.output {
            Output::Json => json,
            Output::Text => printable(&told.line(conversation.as_str())).into_owned(),
        };
        self.print(&text)?;
        self.bar.inc(1);
        Ok(())
    }

    fn refused(&mut self, entry: &Entry, problem: &Problem) -> Result<(), Failure> {
        let (conversation, id) = (entry.request.conversation(), entry.request.id());
        let text = format!("{} is not shredded: {problem}", conversation.as_str());
        match self.list {
            Some(_) => self.complain(entry.line, &text),
            None => self.refusals.push(text),
        }
        self.print_json(&told::refused(conversation, id, problem))
    }

    fn waits(&mut self, entry: &Entry, problem: &Problem) -> Result<(), Failure> {
        let (conversation, id) = (entry.request.conversation(), entry.request.id());
        if self.approvals.insert(problem.detail.clone()) {
            self.say(&problem.detail);
        }
        self.print_json(&told::refused(conversation, id, problem))
    }

    pub(super) fn unreadable(&self, line: usize, why: &str) -> Result<(), Failure> {
        self.complain(line, why);
        self.print_json(&told::unreadable(line, why))
    }

    fn complain(&self, line: usize, what: &str) {
        let place = self.list.as_ref().map(|list| format!("{list}:{line}: "));
        let place = place.unwrap_or_default();
        self.say(&format!("{place}{what}"));
    }

    fn say(&self, what: &str) {
        let line = format!("lethe: {}", printable(what));
        self.bar.suspend(|| logging::say(&line));
    }

    fn print_json(&self, value: &Value) -> Result<(), Failure> {
        match self.output {
            Output::Json => self.print(&json_text(value)?),
            Output::Text => Ok(()),
        }
    }

    /// A reader that is gone is a failure: what it missed will be told again.
    fn print(&self, line: &str) -> Result<(), Failure> {
        let print = || writeln!(stdout(), "{line}");
        // The bar gives way only where the line would be drawn over it.
        Ok(match stdout().is_terminal() {
            true => self.bar.suspend(print),
            false => print(),
        }?)
    }

    pub(super) fn take_refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refusals)
    }

    /// Everything is out, the receipts durable.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        stdout().flush()?;
        match self.receipts {
            Some(receipts) => Ok(receipts.finish()?),
            None => Ok(()),
        }
    }
}
