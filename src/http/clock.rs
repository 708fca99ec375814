use std::time::Duration;

use hyper::StatusCode;
use lethe_core::clock::Doubt;
use lethe_core::time::Timestamp;
use serde::Serialize;

use super::call::{Call, Done, Operation};
use super::problem::Problem;
use super::times::Rfc3339;
use crate::access::Role;

/// `POST /v1/clock/confirmations`: the wall clock is right, though it jumped.
pub(crate) struct ConfirmClock;

#[derive(Serialize)]
struct ConfirmationAnswer {
    /// What was doubted: `ahead`, `behind`, or nothing: `trusted`.
    was: &'static str,
    /// The service's time from now on.
    now: Rfc3339,
    /// The wall clock, which the service's time never runs behind.
    wall_clock: Rfc3339,
}

impl Operation for ConfirmClock {
    const NAME: &'static str = "confirm_clock";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        call.check_audit()?;
        let confirmed = call.service.keeper.confirm_clock().await?;
        let answer = ConfirmationAnswer {
            was: confirmed.was.map_or("trusted", Doubt::name),
            now: Rfc3339(confirmed.now),
            wall_clock: Rfc3339(earlier(confirmed.now, confirmed.lag)),
        };
        Done::json(StatusCode::OK, &answer)
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_sub(by))
}
