//! How long a start takes with a full store, the device running already.

use std::time::Instant;

use super::super::results::{Results, median};
use super::sample::Sample;
use super::site::Site;
use super::targets::names;
use crate::clock;
use crate::error::BenchError;
use crate::peers::{HsmSim, serve};

/// When things happened.
struct Start {
    begun: Instant,
    /// When the service logged that the HSM is open; none if it does not log it.
    hsm_open: Option<Instant>,
    ready: Instant,
    answered: Instant,
}

/// Starts some times; the first answer is that of an unwrap, over a new connection. At last all
/// keys of the sample: what was shredded stays so.
pub(super) async fn measure(
    site: &Site,
    sample: &Sample,
    rounds: u32,
    results: &mut Results,
) -> Result<(), BenchError> {
    let _hsm = HsmSim::start(&site.path)?;
    let mut starts = Vec::new();
    for _ in 0..rounds {
        starts.push(start(site, sample).await?);
    }
    let (server, _) = serve(&site.path)?;
    sample.verify(&server.endpoint).await?;
    drop(server);
    let mut note = |name, span: fn(&Start) -> Option<std::time::Duration>| {
        let spans = starts.iter().filter_map(span);
        match median(spans.map(|span| span.as_secs_f64() * 1e3)) {
            Some(value) => results.note(name, value),
            None => results.missing.push(name.to_owned()),
        }
    };
    note(names::START_READY, |it| Some(it.ready - it.begun));
    note(names::START_ANSWER, |it| Some(it.answered - it.begun));
    note(names::START_FROM_HSM, |it| Some(it.answered - it.hsm_open?));
    Ok(())
}

async fn start(site: &Site, sample: &Sample) -> Result<Start, BenchError> {
    let begun = clock::now();
    let (server, hsm_open) = serve(&site.path)?;
    let ready = clock::now();
    sample.open_one(&server.endpoint).await?;
    Ok(Start {
        begun,
        hsm_open,
        ready,
        answered: clock::now(),
    })
}
