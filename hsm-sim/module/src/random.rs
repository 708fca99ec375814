//! Random bytes.

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Request, Secret};

use crate::client::{MAX_DATA, unexpected};
use crate::state;

/// `C_GenerateRandom`
pub fn generate(handle: u64, length: usize) -> Result<Secret, CK_RV> {
    let session = state::session(handle)?;
    if length > MAX_DATA {
        return Err(CKR_ARGUMENTS_BAD);
    }
    let length = u32::try_from(length).map_err(|_| CKR_ARGUMENTS_BAD)?;
    match session.call(&Request::Random {
        session: session.remote,
        length,
    })? {
        Answer::Data(bytes) if bytes.0.len() == length as usize => Ok(bytes),
        other => unexpected(other),
    }
}
