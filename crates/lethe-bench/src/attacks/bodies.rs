//! Bodies that do not end, that are many, or that hold too many items.

use std::time::Instant;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::deployment::{Deployment, OTHER_SERVER};
use super::{Attack, Gained, Settings, is_over, side_by_side, step};
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::{Connection, handshake};

/// Largest body that the service takes.
const MOST_BYTES: usize = 1 << 20;

/// Shreds whose bodies never end: what must not be broken off goes on without its client.
pub(super) struct EndlessBodies;

#[async_trait]
impl Attack for EndlessBodies {
    fn name(&self) -> &'static str {
        "endless-bodies"
    }

    fn what(&self) -> &'static str {
        "one message server sends heads of shreds and bodies of 1 MiB that stop before their last byte, in waves, so that the service keeps the bodies of requests that it has given up"
    }

    fn settings(&self) -> Settings {
        Settings {
            options: &[("server", "request_timeout = \"1s\"")],
            ..Settings::default()
        }
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.grant_other_server().await
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        bodies(target, end, "shreds", 128).await
    }
}

/// Bodies of many requests under way at once.
pub(super) struct BodiesUnderWay;

#[async_trait]
impl Attack for BodiesUnderWay {
    fn name(&self) -> &'static str {
        "bodies-under-way"
    }

    fn what(&self) -> &'static str {
        "one message server keeps 512 bodies of 1 MiB under way, without their last byte, so that they fill the memory"
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.grant_other_server().await
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        bodies(target, end, "data-keys", 512).await
    }
}

/// Keeps `connections` of them under way.
async fn bodies(
    target: &Deployment,
    end: Instant,
    endpoint: &str,
    connections: usize,
) -> Result<Gained, BenchError> {
    let client = target.client(OTHER_SERVER)?;
    let head = format!(
        "POST /v1/keyspaces/chat/{endpoint} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {MOST_BYTES}\r\n\r\n",
        client.address
    );
    side_by_side(connections, |number| {
        let client = client.from(Deployment::source(number));
        let head = head.clone();
        async move {
            let mut gained = Gained::default();
            while !is_over(end) {
                match step(begin(&client, &head)).await {
                    Some(Ok(stream)) => {
                        gained.count("bodies under way");
                        wait_for_end(stream, end).await;
                    }
                    _ => gained.count("bodies refused"),
                }
                tokio::time::sleep(super::PAUSE).await;
            }
            Ok(gained)
        }
    })
    .await
}

async fn begin(client: &Endpoint, head: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = handshake(client).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![b' '; MOST_BYTES - 1]).await?;
    stream.flush().await?;
    Ok(stream)
}

/// The service answers, or closes.
async fn wait_for_end(mut stream: TlsStream<TcpStream>, end: Instant) {
    use tokio::io::AsyncReadExt;
    let mut answer = [0; 4_096];
    // Whatever came: the next body begins on a new connection.
    let _ = tokio::time::timeout_at(end.into(), stream.read(&mut answer)).await;
}

/// One body with more items than any batch may have.
pub(super) struct ManyItems;

const ITEMS: usize = 345_000;

#[async_trait]
impl Attack for ManyItems {
    fn name(&self) -> &'static str {
        "many-items"
    }

    fn what(&self) -> &'static str {
        "one message server sends batches of 345,000 items, so that others wait while they are parsed and refused"
    }

    async fn prepare(&self, target: &Deployment) -> Result<(), BenchError> {
        target.grant_other_server().await
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        let client = target.client(OTHER_SERVER)?;
        let body = format!("{{\"items\":[{}1]}}", "1, ".repeat(ITEMS - 1));
        let request = format!(
            "POST /v1/keyspaces/chat/data-keys HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            client.address,
            body.len()
        );
        side_by_side(8, |number| {
            let client = client.from(Deployment::source(number));
            let request = request.clone();
            async move {
                let mut gained = Gained::default();
                while !is_over(end) {
                    let asked = async {
                        let mut connection = Connection::open(&client).await?;
                        let answer = connection.exchange(request.as_bytes()).await;
                        answer
                            .map(|answer| answer.status)
                            .map_err(BenchError::io("a batch"))
                    };
                    match step(asked).await {
                        Some(Ok(413)) => gained.count("bodies refused"),
                        Some(Ok(_)) => gained.count("other answers"),
                        _ => gained.count("connections closed"),
                    }
                }
                Ok(gained)
            }
        })
        .await
    }
}
