//! Objects: making, finding, destroying, and generating keys.

use cryptoki_sys::*;
use hsm_sim::wire::{Answer, Attribute, Mechanism, Request};
use zeroize::Zeroize;

use crate::client::unexpected;
use crate::state::{self, lock};

/// `C_CreateObject`
pub fn create(handle: u64, template: Vec<Attribute>) -> Result<u64, CK_RV> {
    let session = state::session(handle)?;
    let mut request = Request::CreateObject {
        session: session.remote,
        template,
    };
    let answer = session.call(&request);
    // The value may have been a secret.
    if let Request::CreateObject { template, .. } = &mut request {
        template
            .iter_mut()
            .for_each(|attribute| attribute.value.zeroize());
    }
    object(answer?)
}

fn object(answer: Answer) -> Result<u64, CK_RV> {
    match answer {
        Answer::Object(object) => Ok(object),
        other => unexpected(other),
    }
}

/// `C_DestroyObject`
pub fn destroy(handle: u64, object: u64) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    session.run(&Request::DestroyObject {
        session: session.remote,
        object,
    })
}

/// `C_FindObjectsInit`: takes all matches at once, so that later changes cannot shift them.
pub fn find_init(handle: u64, template: Vec<Attribute>) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    if lock(&session.operations).found.is_some() {
        return Err(CKR_OPERATION_ACTIVE);
    }
    let found = match session.call(&Request::FindObjects {
        session: session.remote,
        template,
    })? {
        Answer::Objects(found) => found,
        other => return unexpected(other),
    };
    lock(&session.operations).found = Some(found.into());
    Ok(())
}

/// `C_FindObjects`
pub fn find(handle: u64, most: usize) -> Result<Vec<u64>, CK_RV> {
    let session = state::session(handle)?;
    let mut operations = lock(&session.operations);
    let found = operations
        .found
        .as_mut()
        .ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
    let count = most.min(found.len());
    Ok(found.drain(..count).collect())
}

/// `C_FindObjectsFinal`
pub fn find_final(handle: u64) -> Result<(), CK_RV> {
    let session = state::session(handle)?;
    let found = lock(&session.operations).found.take();
    found.map(drop).ok_or(CKR_OPERATION_NOT_INITIALIZED)
}

/// `C_GenerateKey`
pub fn generate_key(
    handle: u64,
    mechanism: Mechanism,
    template: Vec<Attribute>,
) -> Result<u64, CK_RV> {
    let session = state::session(handle)?;
    let remote = session.remote;
    object(session.call(&Request::GenerateKey {
        session: remote,
        mechanism,
        template,
    })?)
}

/// `C_GenerateKeyPair`
pub fn generate_pair(
    handle: u64,
    mechanism: Mechanism,
    public: Vec<Attribute>,
    private: Vec<Attribute>,
) -> Result<(u64, u64), CK_RV> {
    let session = state::session(handle)?;
    let remote = session.remote;
    let request = Request::GenerateKeyPair {
        session: remote,
        mechanism,
        public,
        private,
    };
    match session.call(&request)? {
        Answer::KeyPair(public, private) => Ok((public, private)),
        other => unexpected(other),
    }
}
