//! Posts messages side by side, but those of one room one after the other.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Stage;
use super::archive::Stored;
use super::input::Recorded;

const LANES: usize = 64;
/// Messages that may wait in a lane; then the replay falls behind.
const WAITING: usize = 64;
/// Failures that are shown in full.
const MOST_SHOWN: usize = 5;

pub(super) struct Lanes {
    senders: Vec<mpsc::Sender<Recorded>>,
    tasks: JoinSet<(usize, Vec<String>)>,
}

impl Lanes {
    pub(super) fn start(stage: &Stage) -> Self {
        let mut tasks = JoinSet::new();
        let senders = (0..LANES)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(WAITING);
                tasks.spawn(lane(stage.clone(), receiver));
                sender
            })
            .collect();
        Self { senders, tasks }
    }

    pub(super) async fn send(&self, message: Recorded) {
        let lane = hash(&message.conversation) as usize % LANES;
        // A lane ends only when its sender is dropped.
        let _ = self.senders[lane].send(message).await;
    }

    /// Waits for all posts; how many were stored, and what went wrong.
    pub(super) async fn finish(self) -> (usize, Vec<String>) {
        drop(self.senders);
        let mut all = (0, Vec::new());
        for (stored, failures) in self.tasks.join_all().await {
            all.0 += stored;
            all.1.extend(failures);
        }
        all
    }
}

async fn lane(stage: Stage, mut messages: mpsc::Receiver<Recorded>) -> (usize, Vec<String>) {
    let (mut stored, mut failures) = (0, Vec::new());
    while let Some(message) = messages.recv().await {
        let began = stage.started.elapsed();
        match stage.server.post(&message).await {
            Ok(position) => {
                stored += 1;
                let record = Stored {
                    room: Arc::from(message.conversation),
                    position,
                    text: hash(&message.text),
                    began,
                    ended: Duration::ZERO,
                };
                stage.archive.add(record, || stage.started.elapsed());
            }
            Err(error) if failures.len() < MOST_SHOWN => failures.push(error.to_string()),
            Err(_) => failures.push("and more".into()),
        }
    }
    (stored, failures)
}

/// The same for the same text in one run.
pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
