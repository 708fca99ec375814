//! Reading and changing attributes.

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Attribute, Request};

use crate::cipher::Ahead;
use crate::client::unexpected;
use crate::connection::Session;
use crate::state::{self, lock};

/// What goes into one entry of the caller's template.
pub struct Entry {
    /// The new `ulValueLen`.
    pub length: u64,
    /// The value, if it is to be written.
    pub value: Option<Vec<u8>>,
}

/// `C_GetAttributeValue`: an entry for each kind asked, and the return value. One attribute that
/// cannot be told does not keep the others back. `rooms` holds each buffer's size, `None` where
/// only the length is asked.
pub fn get(
    handle: u64,
    object: u64,
    kinds: Vec<u64>,
    rooms: &[Option<usize>],
) -> Result<(Vec<Entry>, CK_RV), CK_RV> {
    let session = state::session(handle)?;
    let values = match read_ahead(&session, object, &kinds) {
        Some(values) => values,
        None => ask(&session, object, &kinds)?,
    };
    if rooms.iter().all(Option::is_none) {
        // Callers ask for the lengths and then for the values: one round trip is enough.
        let values = kinds.into_iter().zip(values.iter().cloned()).collect();
        lock(&session.operations).ahead = Some(Ahead { object, values });
    }
    let mut result = CKR_OK;
    let mut entries = Vec::with_capacity(values.len());
    for (value, room) in values.into_iter().zip(rooms) {
        let (entry, error) = fit(value, *room);
        entries.push(entry);
        if result == CKR_OK {
            result = error;
        }
    }
    Ok((entries, result))
}

type Values = Vec<Result<Vec<u8>, u64>>;

fn ask(session: &Session, object: u64, kinds: &[u64]) -> Result<Values, CK_RV> {
    let request = Request::AttributeValues {
        session: session.remote,
        object,
        kinds: kinds.to_vec(),
    };
    match session.call(&request)? {
        Answer::Attributes(values) if values.len() == kinds.len() => Ok(values),
        other => unexpected(other),
    }
}

/// The answer to the question just asked for lengths; it serves once.
fn read_ahead(session: &Session, object: u64, kinds: &[u64]) -> Option<Values> {
    let ahead = lock(&session.operations).ahead.take()?;
    let find = |kind: &u64| {
        let mut values = ahead.values.iter();
        values.find(|(had, _)| had == kind).map(|it| it.1.clone())
    };
    let values = kinds.iter().map(find).collect::<Option<Values>>()?;
    (ahead.object == object).then_some(values)
}

fn fit(value: Result<Vec<u8>, u64>, room: Option<usize>) -> (Entry, CK_RV) {
    let refused = Entry {
        length: CK_UNAVAILABLE_INFORMATION,
        value: None,
    };
    match (value, room) {
        (Err(error), _) => (refused, error),
        (Ok(value), None) => (
            Entry {
                length: value.len() as u64,
                value: None,
            },
            CKR_OK,
        ),
        (Ok(value), Some(room)) if room < value.len() => (refused, CKR_BUFFER_TOO_SMALL),
        (Ok(value), Some(_)) => (
            Entry {
                length: value.len() as u64,
                value: Some(value),
            },
            CKR_OK,
        ),
    }
}

/// `C_SetAttributeValue`
pub fn set(handle: u64, object: u64, template: Vec<Attribute>) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    session.run(&Request::SetAttributes {
        session: session.remote,
        object,
        template,
    })
}
