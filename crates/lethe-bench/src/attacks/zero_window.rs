use std::time::Instant;

use async_trait::async_trait;

use super::deployment::{Deployment, STRANGER};
use super::http2::{Http2, get};
use super::{Attack, Gained, Settings, side_by_side, step};
use crate::error::BenchError;

/// Answers that cannot be sent, because the client gives them no room.
pub(super) struct ZeroWindow;

const CONNECTIONS: usize = 17;
const STREAMS: u32 = 256;

#[async_trait]
impl Attack for ZeroWindow {
    fn name(&self) -> &'static str {
        "zero-window"
    }

    fn what(&self) -> &'static str {
        "a client without a grant opens 17 HTTP/2 connections with a window of 0 and sends 256 GETs on each, so that refusals that it never reads hold all places of requests"
    }

    fn settings(&self) -> Settings {
        Settings {
            options: &[("limits", "requests = 1024")],
            ..Settings::default()
        }
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        let stranger = target.client(STRANGER)?;
        side_by_side(CONNECTIONS, |number| {
            let stranger = stranger.from(Deployment::source(number));
            async move {
                let mut gained = Gained::default();
                let Some(Ok(mut connection)) = step(Http2::open(&stranger, 0)).await else {
                    gained.count("connections refused");
                    return Ok(gained);
                };
                gained.count("connections");
                let gets: Vec<u8> = (0..STREAMS)
                    .flat_map(|it| get(2 * it + 1, "/v1/keyspaces"))
                    .collect();
                if let Some(Ok(())) = step(connection.send(&gets)).await {
                    gained.add("requests", u64::from(STREAMS));
                }
                gained.merge(connection.read_until(end).await);
                Ok(gained)
            }
        })
        .await
    }
}
