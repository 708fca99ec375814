//! A PIN as a salted hash, with a count of wrong tries.

use std::num::NonZeroU32;

use aws_lc_rs::{pbkdf2, rand};
use serde::{Deserialize, Serialize};

use crate::constants::{CKR_GENERAL_ERROR, CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED};

/// Wrong tries until the PIN locks.
pub const MAX_TRIES: u32 = 10;
/// Shortest PIN, in bytes.
pub const MIN_LENGTH: usize = 4;
/// Longest PIN, in bytes.
pub const MAX_LENGTH: usize = 255;

const ITERATIONS: NonZeroU32 = NonZeroU32::new(20_000).expect("not zero");

/// A stored PIN.
#[derive(Serialize, Deserialize)]
pub struct Pin {
    salt: [u8; 16],
    hash: [u8; 32],
    wrong: u32,
}

impl Pin {
    /// Hashes a new PIN.
    ///
    /// # Errors
    /// `CKR_PIN_LEN_RANGE`.
    pub fn new(pin: &[u8]) -> Result<Self, u64> {
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&pin.len()) {
            return Err(CKR_PIN_LEN_RANGE);
        }
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| CKR_GENERAL_ERROR)?;
        let mut hash = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            &salt,
            pin,
            &mut hash,
        );
        Ok(Self {
            salt,
            hash,
            wrong: 0,
        })
    }

    /// Whether too many wrong tries were made.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.wrong >= MAX_TRIES
    }

    /// Compares and counts; the caller stores the count when [`Pin::tries`] changed.
    ///
    /// # Errors
    /// `CKR_PIN_LOCKED`, `CKR_PIN_INCORRECT`.
    pub fn check(&mut self, pin: &[u8]) -> Result<(), u64> {
        if self.locked() {
            return Err(CKR_PIN_LOCKED);
        }
        let right = pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            &self.salt,
            pin,
            &self.hash,
        );
        if right.is_ok() {
            self.wrong = 0;
            return Ok(());
        }
        self.wrong += 1;
        Err(if self.locked() {
            CKR_PIN_LOCKED
        } else {
            CKR_PIN_INCORRECT
        })
    }

    /// Wrong tries since the last right one.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.wrong
    }
}
