//! Sends the shreds of a plan, waits until they are destroyed, and prints each result.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use lethe_client::{Client, ErrorCode, KeyspaceName, Problem, Shred, ShredRequest};
use serde_json::Value;

use super::plan::PlannedShred;
use super::receipts::Receipts;
use super::report::{self, ShredReport};
use crate::cli::Failure;
use crate::cli::output::{Output, json_text, printable};
use crate::observability::logging;

/// Shreds in one call: the limit of the API.
const MAX_BATCH: usize = 1_000;
/// Calls in flight: the service has the next one when it has finished the one before.
const CALLS_IN_FLIGHT: usize = 2;
/// Calls for a status in flight.
const STATUS_CALLS_IN_FLIGHT: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The number of shreds by their result.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) destroyed: usize,
    /// Number of shreds that are accepted and not waited for (`--no-wait`).
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// Number of shreds that wait for a second operator.
    pub(super) waiting: usize,
}

/// One run of `lethe shred`.
pub(super) struct Run<'a> {
    pub(super) client: &'a Client,
    pub(super) keyspace: &'a KeyspaceName,
    /// Whether it waits until accepted shreds are destroyed.
    pub(super) wait: bool,
    /// The reason for the audit log and the second operator.
    pub(super) reason: Option<&'a str>,
    pub(super) reporter: Reporter,
    pub(super) tally: Tally,
}

impl Run<'_> {
    /// Sends all shreds. Results that come before an error are printed.
    pub(super) async fn shred(&mut self, entries: &[&PlannedShred]) -> Result<(), Failure> {
        let (client, keyspace, wait) = (self.client, self.keyspace, self.wait);
        let reason = self.reason;
        let batches = stream::iter(entries.chunks(MAX_BATCH)).map(async |batch| {
            let request = |entry: &&PlannedShred| entry.request.clone().because(reason);
            let requests: Vec<ShredRequest> = batch.iter().map(request).collect();
            let answers = if wait {
                client.shred_batch(keyspace, &requests).await
            } else {
                client.accept_shred_batch(keyspace, &requests).await
            };
            answers.map(|answers| (batch, answers))
        });
        let mut answered = batches.buffered(CALLS_IN_FLIGHT);
        let mut pending = Vec::new();
        while let Some((batch, answers)) = answered.try_next().await? {
            for (entry, answer) in batch.iter().zip(answers) {
                let accepted = self.count(entry, answer)?;
                pending.extend(accepted.map(|shred| (*entry, shred)));
            }
        }
        self.follow(pending).await
    }

    /// Counts and prints a result. Returns an accepted shred that is to be waited for.
    fn count(
        &mut self,
        entry: &PlannedShred,
        answer: Result<Shred, Problem>,
    ) -> Result<Option<Shred>, Failure> {
        match answer {
            Ok(shred @ Shred::Destroyed(_)) => {
                self.tally.destroyed += 1;
                self.reporter.shred(entry, &shred)?;
            }
            Ok(shred @ Shred::Accepted { .. }) if self.wait => return Ok(Some(shred)),
            Ok(shred) => {
                self.tally.accepted += 1;
                self.reporter.shred(entry, &shred)?;
            }
            Err(problem) if problem.code == ErrorCode::ApprovalRequired => {
                self.tally.waiting += 1;
                self.reporter.waits(entry, &problem)?;
            }
            Err(problem) => {
                self.tally.refused += 1;
                self.reporter.refused(entry, &problem)?;
            }
        }
        Ok(None)
    }

    /// Asks for the status of accepted shreds until all are destroyed.
    async fn follow(&mut self, mut pending: Vec<(&PlannedShred, Shred)>) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        while !pending.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let (client, keyspace) = (self.client, self.keyspace);
            let calls = stream::iter(pending).map(async |(entry, earlier)| {
                let shred = client.shred_status(keyspace, entry.request.id()).await;
                shred.map(|shred| (entry, shred.or_opening_of(earlier)))
            });
            let mut answers = calls.buffered(STATUS_CALLS_IN_FLIGHT);
            let mut still = Vec::new();
            while let Some((entry, shred)) = answers.try_next().await? {
                let accepted = self.count(entry, Ok(shred))?;
                still.extend(accepted.map(|shred| (entry, shred)));
            }
            drop(answers);
            pending = still;
        }
        Ok(())
    }
}

/// Prints results, and shows the progress.
pub(super) struct Reporter {
    output: Output,
    bar: ProgressBar,
    receipts: Option<Receipts>,
    /// The name of the list, which errors show before a line number; none for the command line.
    list: Option<String>,
    /// Errors of conversations on the command line: they are printed in one line at the end.
    refusals: Vec<String>,
    /// The texts about approvals that were printed: each is printed once.
    approvals: BTreeSet<String>,
}

impl Reporter {
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

    fn shred(&mut self, entry: &PlannedShred, shred: &Shred) -> Result<(), Failure> {
        let conversation = entry.request.conversation();
        let report = ShredReport::new(shred).with(conversation);
        let json = json_text(&report)?;
        if let Some(receipts) = &mut self.receipts {
            receipts.add(&json)?;
        }
        let text = match self.output {
            Output::Json => json,
            Output::Text => printable(&report.line(conversation.as_str())).into_owned(),
        };
        self.print(&text)?;
        self.bar.inc(1);
        Ok(())
    }

    fn refused(&mut self, entry: &PlannedShred, problem: &Problem) -> Result<(), Failure> {
        let (conversation, id) = (entry.request.conversation(), entry.request.id());
        let text = format!("{} was not shredded: {problem}", conversation.as_str());
        match self.list {
            Some(_) => self.complain(entry.line, &text),
            None => self.refusals.push(text),
        }
        self.print_json(&report::refused(conversation, id, problem))
    }

    fn waits(&mut self, entry: &PlannedShred, problem: &Problem) -> Result<(), Failure> {
        let (conversation, id) = (entry.request.conversation(), entry.request.id());
        if self.approvals.insert(problem.detail.clone()) {
            self.say(&problem.detail);
        }
        self.print_json(&report::refused(conversation, id, problem))
    }

    pub(super) fn unreadable(&self, line: usize, why: &str) -> Result<(), Failure> {
        self.complain(line, why);
        self.print_json(&report::unreadable(line, why))
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

    /// A closed standard output is a failure: a second run prints the results again.
    fn print(&self, line: &str) -> Result<(), Failure> {
        let print = || writeln!(stdout(), "{line}");
        // The bar is hidden only if the line would be drawn over it.
        Ok(match stdout().is_terminal() {
            true => self.bar.suspend(print),
            false => print(),
        }?)
    }

    pub(super) fn take_refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refusals)
    }

    /// Flushes the output, and makes the receipts durable.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        stdout().flush()?;
        match self.receipts {
            Some(receipts) => Ok(receipts.finish()?),
            None => Ok(()),
        }
    }
}
