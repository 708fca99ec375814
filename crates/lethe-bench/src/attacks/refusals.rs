use std::time::Instant;

use async_trait::async_trait;

use super::deployment::{Deployment, STRANGER};
use super::{Attack, Gained, is_over, side_by_side, step};
use crate::error::BenchError;
use crate::load::Connection;

/// Refusals that each leave a line in the audit log.
pub(super) struct Refusals;

const CONNECTIONS: usize = 32;
/// Names that the service puts into a record are as long as it lets them be.
const KEYSPACE: usize = 63;

#[async_trait]
impl Attack for Refusals {
    fn name(&self) -> &'static str {
        "refusals"
    }

    fn what(&self) -> &'static str {
        "a client without a grant asks as fast as it can, so that the lines of its refusals fill the audit disk and then no key leaves"
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        let stranger = target.client(STRANGER)?;
        let keyspace = "k".repeat(KEYSPACE);
        let request = format!(
            "GET /v1/keyspaces/{keyspace} HTTP/1.1\r\nhost: {}\r\n\r\n",
            stranger.address
        );
        side_by_side(CONNECTIONS, |number| {
            let stranger = stranger.from(Deployment::source(number));
            let request = request.clone();
            async move {
                let mut gained = Gained::default();
                while !is_over(end) {
                    let Some(Ok(connection)) = step(Connection::open(&stranger)).await else {
                        gained.count("connections refused");
                        tokio::time::sleep(super::PAUSE).await;
                        continue;
                    };
                    gained.count("connections");
                    ask(connection, request.as_bytes(), end, &mut gained).await;
                }
                Ok(gained)
            }
        })
        .await
    }
}

async fn ask(mut connection: Connection, request: &[u8], end: Instant, gained: &mut Gained) {
    while !is_over(end) {
        match step(connection.exchange(request)).await {
            Some(Ok(answer)) if answer.status == 403 => gained.count("refusals"),
            Some(Ok(answer)) if answer.status >= 400 => gained.count("other errors"),
            Some(Ok(_)) => {
                gained.reached.push("an answer without a grant".into());
                return;
            }
            _ => return,
        }
    }
}
