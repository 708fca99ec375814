use std::sync::atomic::{AtomicU8, Ordering};

use cryptoki::session::Session;

use crate::config::Pkcs11Config;
use crate::errors::Failure;
use crate::handles::Handles;
use crate::session::Device;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;
const DONE: u8 = 3;

/// The state of one call, between the caller that waits and the worker.
#[derive(Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    /// The worker begins the call, unless nobody waits any more.
    pub(crate) fn start(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, RUNNING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The worker has an answer. False if it comes too late.
    pub(crate) fn finish(&self) -> bool {
        self.0
            .compare_exchange(RUNNING, DONE, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The caller gives up. True if a thread is left alone with the call.
    pub(crate) fn give_up(&self) -> bool {
        self.0.swap(GIVEN_UP, Ordering::SeqCst) == RUNNING
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::SeqCst) == GIVEN_UP
    }
}

/// One attempt at an operation: a session, and the right to use it while somebody waits.
pub(crate) struct Call<'a> {
    pub(crate) device: &'a Device,
    pub(crate) ticket: &'a Ticket,
    pub(crate) session: &'a Session,
    pub(crate) handles: &'a Handles,
    pub(crate) generation: u64,
}

impl Call<'_> {
    /// The session for the *next* PKCS#11 call: none once the caller has given up, or once another
    /// thread has seen that the sessions of this generation are dead (their handles may by now
    /// mean other sessions and objects).
    pub(crate) fn session(&self) -> Result<&Session, Failure> {
        if self.ticket.is_given_up() {
            return Err(Failure::GivenUp);
        }
        if self.device.generation() != self.generation {
            return Err(cryptoki::error::Error::Pkcs11(
                cryptoki::error::RvError::SessionHandleInvalid,
                cryptoki::context::Function::GetSessionInfo,
            )
            .into());
        }
        Ok(self.session)
    }

    pub(crate) fn config(&self) -> &Pkcs11Config {
        &self.device.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_given_up_while_queued_never_starts() {
        let ticket = Ticket::default();
        assert!(!ticket.give_up());
        assert!(!ticket.start());
    }

    #[test]
    fn a_call_given_up_while_running_is_seen_and_its_answer_unwanted() {
        let ticket = Ticket::default();
        assert!(ticket.start());
        assert!(ticket.give_up());
        assert!(ticket.is_given_up());
        assert!(!ticket.finish());
    }

    #[test]
    fn leaving_with_the_answer_leaves_no_thread_alone() {
        let ticket = Ticket::default();
        assert!(ticket.start() && ticket.finish());
        assert!(!ticket.give_up());
    }
}
