//! What a thread does with a job: a session, an attempt, and one more after a loss.

use cryptoki::session::Session;
use lethe_core::ports::HsmError;

use crate::call::{Call, Ticket};
use crate::errors::{self, Failure, Meaning};
use crate::handles::Handles;
use crate::session::Device;

/// The session of a thread.
pub(crate) struct Held {
    session: Session,
    generation: u64,
    handles: Handles,
}

/// Closes a session that is surely still ours.
pub(crate) fn close(device: &Device, held: Option<Held>) {
    if let Some(held) = held
        && held.generation == device.generation()
    {
        // A session that does not close is lost already.
        let _ = held.session.close();
    }
}

/// Runs an operation, and once more when the session was lost.
pub(crate) fn attempt<T>(
    device: &Device,
    held: &mut Option<Held>,
    ticket: &Ticket,
    operation: &impl Fn(&Call<'_>) -> Result<T, Failure>,
) -> Result<T, HsmError> {
    let first = once(device, held, ticket, operation);
    let answer = match first {
        Err(Failure::Module(error)) if is_loss(&error) && !ticket.is_given_up() => {
            once(device, held, ticket, operation)
        }
        other => other,
    };
    answer.map_err(|failure| match failure {
        Failure::Module(error) => errors::to_hsm_error(&error),
        Failure::Decided(error) => error,
        Failure::GivenUp => HsmError::Unavailable("given up".into()),
    })
}

fn is_loss(error: &cryptoki::error::Error) -> bool {
    matches!(errors::meaning(error), Meaning::Lost | Meaning::Unwell)
}

fn once<T>(
    device: &Device,
    held: &mut Option<Held>,
    ticket: &Ticket,
    operation: &impl Fn(&Call<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let generation = device.generation();
    let current = match held.take() {
        Some(held) if held.generation == generation => held,
        _ => Held {
            session: device.session()?,
            generation,
            handles: Handles::default(),
        },
    };
    let call = Call {
        device,
        ticket,
        session: &current.session,
        handles: &current.handles,
        generation,
    };
    let answer = operation(&call);
    if answer.is_err() {
        current.handles.clear();
    }
    match &answer {
        Err(Failure::Module(error)) => match errors::meaning(error) {
            Meaning::Lost => device.sessions_lost(generation),
            Meaning::Unwell => close(device, Some(current)),
            Meaning::Unavailable
            | Meaning::Pin
            | Meaning::Full
            | Meaning::NotFound
            | Meaning::Refused
            | Meaning::Odd => *held = Some(current),
        },
        _ => *held = Some(current),
    }
    answer
}
