//! Encryption and decryption, in one call or in parts: parts are buffered, because GCM must not
//! release plaintext before its tag is checked.

use std::collections::VecDeque;

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Mechanism, Operation, Request, Secret};
use zeroize::Zeroize;

use crate::client::{MAX_DATA, unexpected};
use crate::connection::Session;
use crate::state::{self, lock};

/// Bytes a GCM tag adds.
const TAG: usize = 16;

/// Operations that are active in a session.
#[derive(Default)]
pub struct Operations {
    /// Objects found and not yet handed out.
    pub found: Option<VecDeque<u64>>,
    /// What came with the answer to a question for lengths only.
    pub ahead: Option<Ahead>,
    encrypt: Option<Active>,
    decrypt: Option<Active>,
    sign: Option<Active>,
    verify: Option<Active>,
}

/// Attributes read ahead of an object.
pub struct Ahead {
    /// The object's handle.
    pub object: u64,
    /// Kinds and what the daemon said of them.
    pub values: Vec<(u64, Result<Vec<u8>, u64>)>,
}

/// An operation between its `Init` and its end.
pub struct Active {
    /// The mechanism, with its parameters.
    pub mechanism: Mechanism,
    /// The key's handle.
    pub key: u64,
    /// The input that was given so far.
    pub data: Secret,
}

/// What a function with an output buffer has to say.
pub enum Output {
    /// The caller asked for the length only.
    Length(usize),
    /// The buffer is too small: the operation stays active.
    TooSmall(usize),
    /// The result of the operation.
    Data(Secret),
}

impl Operations {
    /// The place of one kind of operation.
    pub fn slot(&mut self, operation: Operation) -> &mut Option<Active> {
        match operation {
            Operation::Encrypt => &mut self.encrypt,
            Operation::Decrypt => &mut self.decrypt,
            Operation::Sign => &mut self.sign,
            Operation::Verify => &mut self.verify,
        }
    }
}

/// `C_EncryptInit` and its like. The IV, if the device chose it.
pub fn init(
    handle: u64,
    operation: Operation,
    mut mechanism: Mechanism,
    key: u64,
) -> Result<Option<Vec<u8>>, CK_RV> {
    let session = state::session(handle)?;
    if lock(&session.operations).slot(operation).is_some() {
        return Err(CKR_OPERATION_ACTIVE);
    }
    let remote = session.remote;
    let answer = session.call(&Request::CheckKey {
        session: remote,
        mechanism: mechanism.clone(),
        key,
        operation,
    })?;
    let iv = match (answer, mechanism.gcm.as_mut()) {
        (Answer::Done, _) => None,
        (Answer::Data(iv), Some(params)) if iv.0.len() == params.iv.len() => {
            params.iv.clone_from(&iv.0);
            Some(iv.0.clone())
        }
        (other, _) => return unexpected(other),
    };
    let data = Secret(Vec::new());
    *lock(&session.operations).slot(operation) = Some(Active {
        mechanism,
        key,
        data,
    });
    Ok(iv)
}

/// `C_EncryptUpdate` and its like: keeps the part. An error ends the operation.
pub fn update(handle: u64, operation: Operation, part: &[u8]) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    let mut operations = lock(&session.operations);
    let slot = operations.slot(operation);
    let active = slot.as_mut().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
    if active.data.0.len() + part.len() > MAX_DATA {
        *slot = None;
        return Err(CKR_DATA_LEN_RANGE);
    }
    append(&mut active.data, part);
    Ok(())
}

/// Grows by copying, so that no outgrown buffer is freed with its content.
fn append(data: &mut Secret, part: &[u8]) {
    let mut grown = Vec::with_capacity(data.0.len() + part.len());
    grown.extend_from_slice(&data.0);
    grown.extend_from_slice(part);
    data.0.zeroize();
    data.0 = grown;
}

/// Ends an operation, if one is active, without a result.
pub fn end(handle: u64, operation: Operation) {
    if let Ok(session) = state::session(handle) {
        *lock(&session.operations).slot(operation) = None;
    }
}

/// Ends an operation with its data: `Some` of the one-call functions, `None` of `*Final`, which
/// takes the parts. `room` is the caller's buffer, `None` if it only asks for the length.
pub fn finish(
    handle: u64,
    operation: Operation,
    data: Option<&[u8]>,
    room: Option<usize>,
) -> Result<Output, CK_RV> {
    let session = state::session(handle)?;
    let mut active = {
        let mut operations = lock(&session.operations);
        let slot = operations.slot(operation);
        let active = slot.as_ref().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
        if data.is_some() && !active.data.0.is_empty() {
            return Err(CKR_OPERATION_ACTIVE);
        }
        let given = data.map_or(active.data.0.len(), <[u8]>::len);
        let length = output_length(operation, given);
        match room {
            None => return Ok(Output::Length(length)),
            Some(room) if room < length => return Ok(Output::TooSmall(length)),
            Some(_) => slot.take().ok_or(CKR_OPERATION_NOT_INITIALIZED)?,
        }
    };
    if let Some(data) = data {
        if data.len() > MAX_DATA {
            return Err(CKR_DATA_LEN_RANGE);
        }
        append(&mut active.data, data);
    }
    perform(&session, operation, active).map(Output::Data)
}

fn output_length(operation: Operation, given: usize) -> usize {
    match operation {
        Operation::Encrypt => given + TAG,
        Operation::Decrypt => given.saturating_sub(TAG),
        Operation::Sign => crate::sign::SIGNATURE,
        Operation::Verify => 0,
    }
}

fn perform(session: &Session, operation: Operation, active: Active) -> Result<Secret, CK_RV> {
    let Active {
        mechanism,
        key,
        data,
    } = active;
    let remote = session.remote;
    let request = match operation {
        Operation::Encrypt => Request::Encrypt {
            session: remote,
            mechanism,
            key,
            data,
        },
        Operation::Decrypt => Request::Decrypt {
            session: remote,
            mechanism,
            key,
            data,
        },
        Operation::Sign => Request::Sign {
            session: remote,
            mechanism,
            key,
            data,
        },
        Operation::Verify => return Err(CKR_GENERAL_ERROR),
    };
    match session.call(&request)? {
        Answer::Data(output) => Ok(output),
        other => unexpected(other),
    }
}
