//! Connections that ask for nothing and take the places of others.

use std::time::Instant;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::deployment::{Deployment, STRANGER};
use super::http2::Http2;
use super::{Attack, Gained, Settings, is_over, side_by_side, step};
use crate::error::BenchError;
use crate::load::connect;

/// More than the service has places for.
const CONNECTIONS: usize = 600;
const PLACES: &[(&str, &str)] = &[("server", "max_connections = 400")];

const SETTINGS: Settings = Settings {
    options: PLACES,
    required: false,
    moves_clock: false,
    memory: None,
};

/// Nothing but TCP.
pub(super) struct IdleSockets;

#[async_trait]
impl Attack for IdleSockets {
    fn name(&self) -> &'static str {
        "idle-sockets"
    }

    fn what(&self) -> &'static str {
        "a stranger opens half as many TCP connections again as the service has places, sends nothing, and opens another one for each that is closed"
    }

    fn settings(&self) -> Settings {
        SETTINGS
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        let stranger = target.client(STRANGER)?;
        side_by_side(CONNECTIONS, |number| {
            let stranger = stranger.from(Deployment::source(number));
            async move {
                let mut gained = Gained::default();
                while !is_over(end) {
                    let Some(Ok(mut socket)) = step(connect(&stranger)).await else {
                        gained.count("connections refused");
                        tokio::time::sleep(super::PAUSE).await;
                        continue;
                    };
                    gained.count("connections");
                    let closed = socket.read_u8();
                    let _ = tokio::time::timeout_at(end.into(), closed).await;
                    tokio::time::sleep(super::PAUSE).await;
                }
                Ok(gained)
            }
        })
        .await
    }
}

/// HTTP/2 connections of a client that may do nothing.
pub(super) struct IdleHttp2;

#[async_trait]
impl Attack for IdleHttp2 {
    fn name(&self) -> &'static str {
        "idle-http2"
    }

    fn what(&self) -> &'static str {
        "a client without a grant opens half as many HTTP/2 connections again as the service has places, and asks for nothing"
    }

    fn settings(&self) -> Settings {
        SETTINGS
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        const WINDOW: u32 = 65_535;
        let stranger = target.client(STRANGER)?;
        side_by_side(CONNECTIONS, |number| {
            let stranger = stranger.from(Deployment::source(number));
            async move {
                let mut gained = Gained::default();
                while !is_over(end) {
                    match step(Http2::open(&stranger, WINDOW)).await {
                        Some(Ok(mut connection)) => {
                            gained.count("connections");
                            gained.merge(connection.read_until(end).await);
                        }
                        _ => gained.count("connections refused"),
                    }
                    tokio::time::sleep(super::PAUSE).await;
                }
                Ok(gained)
            }
        })
        .await
    }
}
