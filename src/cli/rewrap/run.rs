//! Lines in, batches to the service, lines out in the same order.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::BufRead;
use std::time::Duration;

use lethe_client::{Client, Error, ErrorCode, KeyspaceName, Problem, RewrappedKey};
use lethe_core::wrapped_key::WrappedKey;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::lines::{Bad, Batch, Content, Key, Line, Reader};
use super::pace::Pace;
use super::reporter::Reporter;
use super::resume::Draft;
use super::tally::Tally;
use crate::cli::Failure;

/// Calls in flight: while one is answered, the service works on the next ones.
const AT_ONCE: usize = 3;
/// Time between two notes of the progress. After a kill no more than this is done again.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Tries for items that may succeed later. The client itself repeats whole calls.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

type Answers = Vec<Result<RewrappedKey, Problem>>;
type Sent = JoinHandle<Result<(Batch, Answers), Error>>;

pub(super) struct Run<'a, R> {
    pub(super) client: &'a Client,
    pub(super) keyspace: &'a KeyspaceName,
    pub(super) reader: Reader<R>,
    pub(super) draft: &'a mut Draft,
    pub(super) pace: Pace,
    pub(super) reporter: &'a mut Reporter,
    pub(super) tally: &'a mut Tally,
    pub(super) drop_bad: bool,
    /// Output and tally are of the same input, which ends at the end of a line.
    pub(super) whole: bool,
}

impl<R: BufRead> Run<'_, R> {
    /// Runs until the end of the input, or an error after which another run may continue.
    pub(super) async fn rewrap(&mut self) -> Result<(), Failure> {
        let done = self.work().await;
        if done.is_err() && self.whole {
            // If this fails too, the first error is the better one, and an earlier state is kept.
            let _ = self.draft.keep(self.tally);
        }
        done
    }

    async fn work(&mut self) -> Result<(), Failure> {
        let mut on_their_way: VecDeque<Sent> = VecDeque::new();
        let mut kept = Instant::now();
        let mut more = true;
        loop {
            while more && on_their_way.len() < AT_ONCE {
                match self.reader.batch(self.pace.batch())? {
                    Some(batch) => {
                        self.pace.wait(batch.requests.len()).await;
                        on_their_way.push_back(self.send(batch));
                    }
                    None => more = false,
                }
            }
            let Some(sent) = on_their_way.pop_front() else {
                return Ok(());
            };
            let (batch, answers) = sent.await??;
            self.write(&batch, answers)?;
            if self.whole && kept.elapsed() >= KEEP_EVERY {
                self.draft.keep(self.tally)?;
                kept = Instant::now();
            }
        }
    }

    fn send(&self, batch: Batch) -> Sent {
        let (client, keyspace) = (self.client.clone(), self.keyspace.clone());
        tokio::spawn(async move {
            let answers = answers(&client, &keyspace, &batch).await?;
            Ok((batch, answers))
        })
    }

    fn write(&mut self, batch: &Batch, answers: Answers) -> Result<(), Failure> {
        self.whole = false;
        let mut answers = answers.into_iter();
        let mut output = Vec::with_capacity(batch.text.len());
        for line in &batch.lines {
            self.tally.lines += u64::from(line.content != Content::Rest);
            match &line.content {
                Content::Key(key) => {
                    self.tally.before.count(key.version);
                    let answer = answers.next();
                    let answer = answer.ok_or_else(|| Failure::new("an answer is missing"))?;
                    self.write_key(batch, line, key, answer, &mut output)?;
                }
                Content::Bad(bad) => self.write_bad(batch, line, bad, &mut output),
                Content::Rest if self.drop_bad => {}
                Content::Rest | Content::Blank => output.extend_from_slice(batch.text_of(line)),
            }
        }
        self.draft.write(&output)?;
        self.draft.note(&batch.text);
        self.whole = batch.whole;
        self.reporter.progress(batch.text.len(), self.tally.lines);
        Ok(())
    }

    fn write_key(
        &mut self,
        batch: &Batch,
        line: &Line,
        key: &Key,
        answer: Result<RewrappedKey, Problem>,
        output: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match answer {
            Ok(new) => {
                let header = new.wrapped_key.as_str().parse::<WrappedKey>()?.header();
                self.tally.after.count(header.version.number());
                self.tally.rewrapped += 1;
                for piece in batch.rewrapped(line, key, new.wrapped_key.as_str()) {
                    output.extend_from_slice(piece);
                }
            }
            Err(problem) => {
                if !self.drop_bad {
                    self.tally.after.count(key.version);
                }
                self.write_bad(batch, line, &refused(&problem), output);
            }
        }
        Ok(())
    }

    fn write_bad(&mut self, batch: &Batch, line: &Line, bad: &Bad, output: &mut Vec<u8>) {
        count(self.tally, self.reporter, line, bad);
        if !self.drop_bad {
            output.extend_from_slice(batch.text_of(line));
        }
    }
}

/// Reads all lines and changes nothing.
pub(super) fn census<R: BufRead>(
    reader: &mut Reader<R>,
    reporter: &mut Reporter,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let pace = Pace::new(None);
    while let Some(batch) = reader.batch(pace.batch())? {
        for line in &batch.lines {
            tally.lines += u64::from(line.content != Content::Rest);
            match &line.content {
                Content::Key(key) => tally.before.count(key.version),
                Content::Bad(bad) => count(tally, reporter, line, bad),
                Content::Blank | Content::Rest => {}
            }
        }
        reporter.progress(batch.text.len(), tally.lines);
    }
    Ok(())
}

fn count(tally: &mut Tally, reporter: &mut Reporter, line: &Line, bad: &Bad) {
    *tally.bad.entry(bad.code.clone().into_owned()).or_default() += 1;
    reporter.bad(line.number, bad);
}

fn refused(problem: &Problem) -> Bad {
    Bad {
        code: Cow::Owned(problem.code.as_str().to_owned()),
        detail: Cow::Owned(problem.detail.clone()),
    }
}

/// A result for each request. Errors that may pass are tried again, so such a line is not bad.
async fn answers(
    client: &Client,
    keyspace: &KeyspaceName,
    batch: &Batch,
) -> Result<Answers, Error> {
    let mut answers = client.rewrap_batch(keyspace, &batch.requests).await?;
    for attempt in 1.. {
        let again: Vec<_> = (0..answers.len())
            .filter(|index| {
                answers[*index]
                    .as_ref()
                    .is_err_and(|problem| !is_final(problem))
            })
            .collect();
        let Some(first) = again.first() else { break };
        if let (Err(problem), ATTEMPTS..) = (&answers[*first], attempt) {
            return Err(Error::Service(problem.clone()));
        }
        tokio::time::sleep(PAUSE).await;
        let requests: Vec<_> = again
            .iter()
            .map(|index| batch.requests[*index].clone())
            .collect();
        let anew = client.rewrap_batch(keyspace, &requests).await?;
        for (index, answer) in again.into_iter().zip(anew) {
            answers[index] = answer;
        }
    }
    Ok(answers)
}

/// Whether the error is about the key, and not about the service.
fn is_final(problem: &Problem) -> bool {
    matches!(
        problem.code,
        ErrorCode::InvalidRequest
            | ErrorCode::InvalidWrappedKey
            | ErrorCode::Shredded
            | ErrorCode::Expired
            | ErrorCode::VersionRetired
    )
}
