//! Reads samples back at the end of every day, and judges them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::Stage;
use super::archive::{Random, Shredding, Stored};
use super::lanes::hash;
use super::picture::{Ages, DayEnd, Printer};
use super::verdict::{Lifetime, Reading, Tally, expected};
use crate::cli::ReplayArguments;

/// Readings under way at once.
const AT_ONCE: usize = 16;
/// Wrong readings that are shown one by one.
const MOST_SHOWN: usize = 5;

pub(super) struct Reader {
    stage: Stage,
    lifetime: Lifetime,
    day: Duration,
    sample: usize,
    /// On which day how many rooms are shredded.
    shred: (u32, usize),
    random: Random,
    tally: Tally,
}

/// What a reading gave: opened or not, or what went wrong.
type Outcome = (Stored, Reading, Result<bool, String>);

impl Reader {
    pub(super) fn new(
        stage: Stage,
        lifetime: Lifetime,
        day: Duration,
        arguments: &ReplayArguments,
    ) -> Self {
        Self {
            stage,
            lifetime,
            day,
            sample: arguments.sample.max(1),
            shred: (arguments.days.max(2) / 2, arguments.shred_rooms),
            random: Random::new(arguments.seed),
            tally: Tally::default(),
        }
    }

    /// Reads at the end of each day; and once more when all that was stored has expired.
    ///
    /// # Errors
    /// Of the printer, at once.
    pub(super) async fn run(
        mut self,
        mut ends: mpsc::UnboundedReceiver<DayEnd>,
        mut printer: Printer,
    ) -> io::Result<Tally> {
        while let Some(end) = ends.recv().await {
            if end.day == self.shred.0 {
                self.shred_rooms().await;
            }
            let ages = self.read_all_ages().await;
            printer.day(&end, &ages)?;
        }
        tokio::time::sleep(self.lifetime.most + self.day / 2).await;
        let ages = self.read_all_ages().await;
        printer.end(&ages)?;
        Ok(self.tally)
    }

    /// One column for each day in which a message can be alive, one for all older ones, one for
    /// the shredded. A message stands in the column of its age when the answer came.
    async fn read_all_ages(&mut self) -> Ages {
        let now = self.stage.started.elapsed();
        let columns = self.columns();
        let back = |days| now.saturating_sub(self.day * days);
        let mut times: Vec<_> = (0..columns).map(|age| back(age + 1)..back(age)).collect();
        times.push(Duration::ZERO..back(columns));
        let mut sample = Vec::new();
        for times in times {
            sample.extend(self.sample_living(times));
        }
        let mut ages = Ages::new(columns as usize);
        for (message, reading, opened) in self.read(sample).await {
            let age = (reading.answered - message.began).div_duration_f64(self.day);
            ages.of_days(age as usize).add(opened);
        }
        let archive = &self.stage.archive;
        let shredded = archive.sample_shredded(self.sample, &mut self.random);
        for (_, _, opened) in self.read(shredded).await {
            ages.shredded.add(opened);
        }
        ages
    }

    fn columns(&self) -> u32 {
        self.lifetime.most.div_duration_f64(self.day).ceil() as u32 + 1
    }

    /// Without rooms that were shredded: those have a column of their own.
    fn sample_living(&mut self, times: std::ops::Range<Duration>) -> Vec<Stored> {
        let archive = &self.stage.archive;
        let mut sample = archive.sample(times, self.sample, &mut self.random);
        sample.retain(|message| {
            let shredding = archive.shredding(&message.room);
            shredding.is_none_or(|shredding| message.began >= shredding.ended)
        });
        sample
    }

    /// Reads and judges; gives those that could be read.
    async fn read(&mut self, sample: Vec<Stored>) -> Vec<(Stored, Reading, bool)> {
        let stage = &self.stage;
        let outcomes: Vec<Outcome> = stream::iter(sample)
            .map(|message| read_one(stage, message))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut read = Vec::with_capacity(outcomes.len());
        for (message, reading, outcome) in outcomes {
            match outcome {
                Ok(opened) => {
                    let shredding = self.stage.archive.shredding(&message.room);
                    let expected = expected(self.lifetime, &message, shredding, reading);
                    self.tally.add(expected, opened);
                    read.push((message, reading, opened));
                }
                Err(_) if self.tally.wrong.len() >= MOST_SHOWN => {}
                Err(error) => self.tally.wrong.push(error),
            }
        }
        read
    }

    /// Those that spoke last: their messages would still live for days.
    async fn shred_rooms(&mut self) {
        let now = self.stage.started.elapsed();
        let lately = now.saturating_sub(self.lifetime.least / 2)..now;
        let recent = self
            .stage
            .archive
            .sample(lately, self.shred.1 * 20, &mut self.random);
        let mut rooms: Vec<Arc<str>> = recent.into_iter().map(|message| message.room).collect();
        rooms.sort();
        rooms.dedup();
        for room in rooms.into_iter().take(self.shred.1) {
            let began = self.stage.started.elapsed();
            match self.stage.server.shred(&room).await {
                Ok(true) => {
                    let ended = self.stage.started.elapsed();
                    let shredding = Shredding { began, ended };
                    self.stage.archive.shredded(room, shredding);
                }
                Ok(false) => self.tally.wrong.push("a shred was only accepted".into()),
                Err(error) => self.tally.wrong.push(format!("a shred failed: {error}")),
            }
        }
    }
}

async fn read_one(stage: &Stage, message: Stored) -> Outcome {
    let asked = stage.started.elapsed();
    let answer = stage.server.read(&message.room, message.position).await;
    let reading = Reading {
        asked,
        answered: stage.started.elapsed(),
    };
    let outcome = match answer {
        Err(error) => Err(format!("a reading failed: {error}")),
        Ok(received) => match (received.text, received.state.as_deref()) {
            (Some(text), None) if hash(&text) == message.text => Ok(true),
            (Some(_), None) => Err("a message gave another text".to_owned()),
            (None, Some("expired" | "shredded")) => Ok(false),
            (_, state) => Err(format!("a message is {state:?}")),
        },
    };
    (message, reading, outcome)
}
