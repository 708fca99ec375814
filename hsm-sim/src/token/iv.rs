//! IVs of a device that chooses them itself: drawn when an encryption is begun, good for one.

use aws_lc_rs::rand;

use super::{IvSource, Token};
use crate::constants::*;
use crate::wire::{Answer, Mechanism, Operation, Response, Secret};

impl Token {
    /// Begins an operation: answers the IV that the device drew, if it does so.
    pub(super) fn draw_iv(
        &mut self,
        connection: u64,
        session: u64,
        mechanism: &Mechanism,
        operation: Operation,
    ) -> Response {
        let Some(params) = &mechanism.gcm else {
            return Ok(Answer::Done);
        };
        if self.iv == IvSource::Caller || operation != Operation::Encrypt {
            return Ok(Answer::Done);
        }
        if params.iv.iter().any(|byte| *byte != 0) {
            // A caller who believes that its own IV counts must not go on.
            return Err(CKR_MECHANISM_PARAM_INVALID);
        }
        let mut iv = [0; 12];
        rand::fill(&mut iv).map_err(|_| CKR_GENERAL_ERROR)?;
        self.sessions.set_iv(connection, session, Some(iv))?;
        Ok(Answer::Data(Secret(iv.to_vec())))
    }

    /// Lets an encryption pass that uses the IV drawn for it; it is used up with that.
    pub(super) fn use_iv(
        &mut self,
        connection: u64,
        session: u64,
        mechanism: &Mechanism,
    ) -> Result<(), u64> {
        if self.iv == IvSource::Caller {
            return Ok(());
        }
        let drawn = self.sessions.get(connection, session)?.iv;
        self.sessions.set_iv(connection, session, None)?;
        let used = mechanism.gcm.as_ref().map(|params| params.iv.as_slice());
        if drawn.is_some() && used == drawn.as_ref().map(<[u8; 12]>::as_slice) {
            Ok(())
        } else {
            Err(CKR_MECHANISM_PARAM_INVALID)
        }
    }
}
