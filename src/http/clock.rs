use std::time::Duration;

use hyper::StatusCode;
use lethe_core::clock::Doubt;
use lethe_core::time::Timestamp;
use serde::Serialize;

use super::approvals::not_made;
use super::call::{Call, Endpoint, Outcome};
use super::openapi::Description;
use super::problem::{Code, Problem};
use super::times::Rfc3339;
use crate::identity::Role;
use crate::leader::ClockConfirmed;

/// `POST /v1/clock/confirmations`: an operator confirms that the wall clock is right although it jumped.
pub(crate) struct ConfirmClock;

#[derive(Serialize)]
struct ConfirmationAnswer {
    /// The doubt before: `ahead`, `behind` or `rebooted`, and `trusted` if there was none.
    was: &'static str,
    /// The service's time after the confirmation.
    now: Rfc3339,
    /// The wall clock. The service's time is never behind it.
    wall_clock: Rfc3339,
}

impl Endpoint for ConfirmClock {
    const NAME: &'static str = "confirm_clock";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const WHOLE_DEPLOYMENT: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let summary = "The wall clock is right, though it jumped";
        Description::new(Self::NAME, "deployment", summary)
            .answers(200, "ClockConfirmation")
            .answers(202, "ApprovalRequired")
            .refuses(&[Code::Conflict, Code::TooManyApprovals])
            .refuses(&[Code::HsmUnavailable, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        call.check_audit()?;
        match call.service.keeper.confirm_clock(None).await {
            Ok(done) => confirmed(call, Some(done)),
            Err(error) => not_made(call, error).await,
        }
    }
}

/// The answer of a confirmation. `done` is `None` when it was carried out before and only its approval is
/// answered again.
pub(super) fn confirmed(call: &Call, done: Option<ClockConfirmed>) -> Result<Outcome, Problem> {
    let done = done.unwrap_or_else(|| {
        let reading = call.service.node.clock.reading();
        let lag = reading
            .now
            .as_millis()
            .saturating_sub(reading.wall.as_millis());
        ClockConfirmed {
            was: None,
            now: reading.now,
            lag: Duration::from_millis(lag),
        }
    });
    let answer = ConfirmationAnswer {
        was: done.was.map_or("trusted", Doubt::name),
        now: Rfc3339(done.now),
        wall_clock: Rfc3339(earlier(done.now, done.lag)),
    };
    Outcome::json(StatusCode::OK, &answer)
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_sub(by))
}
