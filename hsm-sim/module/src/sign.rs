//! Verification. Signing shares its course with encryption, see [`crate::cipher`].

use cryptoki_sys::*;
use hsm_sim::wire::{Operation, Request};

use crate::cipher;
use crate::state::{self, lock};

/// Bytes of an Ed25519 signature.
pub const SIGNATURE: usize = 64;

/// `C_Verify` (with data) and `C_VerifyFinal` (without); either ends the operation.
pub fn verify(handle: u64, data: Option<&[u8]>, signature: &[u8]) -> Result<(), CK_RV> {
    if let Some(data) = data {
        cipher::update(handle, Operation::Verify, data)?;
    }
    let session = state::session(handle)?;
    let active = lock(&session.operations).slot(Operation::Verify).take();
    let active = active.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
    if signature.len() != SIGNATURE {
        return Err(CKR_SIGNATURE_LEN_RANGE);
    }
    session.run(&Request::Verify {
        session: session.remote,
        mechanism: active.mechanism,
        key: active.key,
        data: active.data,
        signature: signature.to_vec(),
    })
}
