//! Keys of conversations that are shredded, and of others: the figures are worth nothing unless
//! the ones stay shut and the others open.

use super::super::keys::{
    BATCH, Issued, Keys, batch, issue_item, issued_batch, opened, parse, unwrap_item, write,
};
use super::site::{KEYSPACE, Site};
use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::Connection;

/// The first conversation that is not shredded.
const KEPT: u64 = 1 << 40;

/// [`BATCH`] of each.
pub(super) struct Sample {
    shredded: Vec<Issued>,
    kept: Vec<Issued>,
}

/// What an unwrap must show.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Open,
    Shredded,
}

impl Sample {
    /// Before any shred; the shredded ones lie evenly among the first `earlier`.
    pub(super) async fn issue(site: &Site, earlier: u64) -> Result<Self, BenchError> {
        let endpoint = &site.lethe()?.server.endpoint;
        let step = earlier / BATCH;
        Ok(Self {
            shredded: issue(endpoint, |index| index * step).await?,
            kept: issue(endpoint, |index| KEPT + index).await?,
        })
    }

    /// After all of them: unwraps every one.
    pub(super) async fn verify(&self, endpoint: &Endpoint) -> Result<(), BenchError> {
        let mut connection = Connection::open(endpoint).await?;
        let keys = Keys::for_keyspace(endpoint.address, KEYSPACE);
        for key in &self.shredded {
            verify(&mut connection, &keys, key, Expected::Shredded).await?;
        }
        for key in &self.kept {
            verify(&mut connection, &keys, key, Expected::Open).await?;
        }
        Ok(())
    }

    /// Unwraps one that opens, over a connection of its own.
    pub(super) async fn open_one(&self, endpoint: &Endpoint) -> Result<(), BenchError> {
        let mut connection = Connection::open(endpoint).await?;
        let keys = Keys::for_keyspace(endpoint.address, KEYSPACE);
        verify(&mut connection, &keys, &self.kept[0], Expected::Open).await
    }
}

async fn issue(
    endpoint: &Endpoint,
    conversation: impl Fn(u64) -> u64,
) -> Result<Vec<Issued>, BenchError> {
    let mut connection = Connection::open(endpoint).await?;
    let items = (0..BATCH).map(|index| issue_item(conversation(index)));
    let mut request = Vec::new();
    write(
        &Keys::for_keyspace(endpoint.address, KEYSPACE).issue,
        &batch(items),
        &mut request,
    );
    let answer = connection.exchange(&request).await;
    let answer = answer.map_err(BenchError::io("issuing keys before shredding"))?;
    issued_batch(&answer.body, conversation)
}

async fn verify(
    connection: &mut Connection,
    keys: &Keys,
    key: &Issued,
    expected: Expected,
) -> Result<(), BenchError> {
    let mut request = Vec::new();
    write(&keys.unwrap, &unwrap_item(key), &mut request);
    let answer = connection.exchange(&request).await;
    let answer = answer.map_err(BenchError::io("unwrapping after shredding"))?;
    let body = parse(&answer.body)?;
    match (expected, answer.status) {
        (Expected::Open, 200) => opened(&body, key),
        (Expected::Shredded, 410) if body["code"] == "shredded" => Ok(()),
        (_, status) => Err(BenchError::WrongAnswer(format!(
            "{expected:?} was expected of a key; {status} {}",
            body["code"]
        ))),
    }
}
