use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::deployment::{Deployment, MESSAGE_SERVER, OPERATOR};
use super::{Attack, Gained, Settings, is_over, side_by_side, step};
use crate::clock;
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::Connection;
use crate::peers::{Method, ask, call};

/// The id of a shred whose row is deleted at that moment.
pub(super) struct EraseRace;

const CONNECTIONS: u32 = 32;
const VICTIM: &str = "/v1/keyspaces/erased";
/// Longer than receipts are kept, in milliseconds.
const LATER: &str = "+7200000";
/// The service looks for rows to delete every ten seconds; the clock that moves lets it look at once.
const DELETED: Duration = Duration::from_secs(15);

#[async_trait]
impl Attack for EraseRace {
    fn name(&self) -> &'static str {
        "erase-race"
    }

    fn what(&self) -> &'static str {
        "one operator sends the erase of a keyspace with ids of old shreds, just when their rows are deleted, so that what was known becomes new without an approval"
    }

    fn settings(&self) -> Settings {
        Settings {
            options: &[("receipts", "keep = \"1h\"")],
            required: true,
            moves_clock: true,
            memory: None,
        }
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.set_keyspace("erased", "72h", "1h").await?;
        let client = target.client(MESSAGE_SERVER)?;
        for number in 0..CONNECTIONS {
            let body = json!({"conversation": format!("old-{number}"), "id": id(number)});
            call(
                &client,
                Method::Post,
                "/v1/keyspaces/chat/shreds",
                "",
                &body,
            )
            .await?;
        }
        Ok(())
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let operator = target.client(OPERATOR)?;
        let end = clock::now() + DELETED;
        let gone = Arc::new(AtomicBool::new(false));
        let asking = side_by_side(CONNECTIONS as usize, |number| {
            let id = id(number as u32);
            erase(operator.clone(), id, Arc::clone(&gone), end)
        });
        let moved = async {
            // All of them are asking by then.
            tokio::time::sleep(super::PAUSE * 20).await;
            let path = target.folder().with_file_name("wall-clock");
            std::fs::write(path, LATER).map_err(BenchError::io("the shifted clock"))
        };
        let (gained, moved) = tokio::join!(asking, moved);
        moved?;
        let mut gained = gained?;
        let shown = ask(&operator, Method::Get, VICTIM, "", &Value::Null).await?;
        if shown.status != 200 {
            gained
                .reached
                .push("a keyspace erased by one operator".into());
        } else if !gone.load(Ordering::Relaxed) {
            gained.skipped = Some(
                "its rows age by a shifted clock, for which lethe has to be built with debug assertions",
            );
        }
        Ok(gained)
    }
}

fn id(number: u32) -> String {
    format!("0190f2a4-7c1e-7b7d-8c7b-{number:012x}")
}

/// Until the row of the id is gone.
async fn erase(
    operator: Endpoint,
    id: String,
    gone: Arc<AtomicBool>,
    end: Instant,
) -> Result<Gained, BenchError> {
    let path = format!("{VICTIM}?id={id}");
    let request = format!(
        "DELETE {path} HTTP/1.1\r\nhost: {}\r\n\r\n",
        operator.address
    );
    let mut connection = Connection::open(&operator).await?;
    let mut gained = Gained::default();
    while !is_over(end) {
        let Some(Ok(answer)) = step(connection.exchange(request.as_bytes())).await else {
            gained.count("calls without an answer");
            connection = Connection::open(&operator).await?;
            continue;
        };
        match answer.status {
            202 if has_to_wait(&answer.body) => {
                gained.count("calls that wait for a second operator");
                gone.store(true, Ordering::Relaxed);
                return Ok(gained);
            }
            200 | 202 => {
                gained.count("erases accepted");
                return Ok(gained);
            }
            _ => gained.count("calls refused"),
        }
    }
    Ok(gained)
}

fn has_to_wait(body: &[u8]) -> bool {
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    body["state"] == "approval_required"
}
