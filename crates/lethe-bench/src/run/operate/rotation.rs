//! Requests at an even pace, alone and while keys are rotated.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::super::keys::{Issue, Keys, Unwrap, issue_all};
use super::{KEYSPACE, ROOT, Round};
use crate::clock;
use crate::error::BenchError;
use crate::load::{Pace, Workload, measure_paced};
use crate::peers::{Lethe, Method, call};

const CONNECTIONS: u32 = 16;
const CONVERSATIONS: u64 = 64;
const WARM_KEYS: u64 = 16_000;
const WARM_UP: Duration = Duration::from_secs(1);
/// A keyspace has eight live versions at most, and begins with one.
const MOST_VERSIONS: u32 = 7;

/// One case: the pace is half issues, half unwraps of keys that were issued before any rotation.
pub(super) async fn measure(
    lethe: &Lethe,
    case: &'static str,
    keyspace: &str,
    rate: u64,
    measured: Duration,
) -> Result<Round, BenchError> {
    let endpoint = &lethe.server.endpoint;
    let keys = Keys::for_keyspace(endpoint.address, keyspace);
    let issued = issue_all(endpoint, keyspace, WARM_KEYS, 0, CONVERSATIONS).await?;
    let issue = Issue {
        keys: keys.clone(),
        first: 0,
        conversations: CONVERSATIONS,
    };
    let workloads: [Rc<dyn Workload>; 2] = [Rc::new(issue), Rc::new(Unwrap { keys, issued })];
    let pace = Pace {
        rate,
        warm_up: WARM_UP,
        measured,
    };
    let rotations = Cell::new(0);
    let versions = format!("/v1/keyspaces/{keyspace}/versions");
    let rotate = match case {
        KEYSPACE => Some((versions.as_str(), MOST_VERSIONS)),
        ROOT => Some(("/v1/root/rotations", u32::MAX)),
        _ => None,
    };
    let tail = tokio::select! {
        tail = measure_paced(endpoint, &workloads, CONNECTIONS, pace) => tail?,
        failed = keep_rotating(lethe, rotate, measured, &rotations) => match failed? {},
    };
    Ok(Round {
        name: case,
        rotations: rotations.get(),
        tail,
    })
}

/// Evenly over the measured time, until it is dropped.
async fn keep_rotating(
    lethe: &Lethe,
    rotate: Option<(&str, u32)>,
    measured: Duration,
    rotations: &Cell<u32>,
) -> Result<Infallible, BenchError> {
    if let Some((path, most)) = rotate {
        let pause = measured / (MOST_VERSIONS + 1);
        let first = clock::now() + WARM_UP + pause / 2;
        let mut due = tokio::time::interval_at(first.into(), pause);
        for _ in 0..most {
            due.tick().await;
            call(&lethe.operator, Method::Post, path, "", &Value::Null).await?;
            rotations.set(rotations.get() + 1);
        }
    }
    std::future::pending().await
}
