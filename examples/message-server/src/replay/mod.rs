//! Plays conversations, recorded or invented, against a running message server, a day in seconds, and reads
//! back at every day, as another device would, a sample of all that was ever stored.
//!
//! Time goes one way: [`input`] gives messages, [`calendar`] says when each is due, [`lanes`]
//! post them in order, [`archive`] remembers what is stored, [`reading`] reads samples of it,
//! [`verdict`] judges, [`picture`] prints.

pub mod archive;
pub mod calendar;
pub mod input;
pub mod invented;
mod lanes;
pub mod picture;
mod reading;
pub mod server;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cli::ReplayArguments;
use crate::serve::Failure;
use archive::Archive;
use calendar::Calendar;
use input::Recorded;
use lanes::Lanes;
use picture::{DayEnd, Printer};
use reading::Reader;
use server::MessageServer;
use verdict::Lifetime;

/// Beside the clocks' drift, what a check allows behind the last instant of a key.
const SLACK: Duration = Duration::from_millis(250);

/// What all parts of a replay share.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) server: MessageServer,
    pub(crate) archive: Arc<Archive>,
    pub(crate) started: Instant,
}

/// Plays, prints, and says whether every check held.
///
/// # Errors
/// No input, or none that can be read; no server.
pub async fn run(arguments: ReplayArguments) -> Result<bool, Failure> {
    let lifetime = lifetime(&arguments)?;
    let mut recorded = match &arguments.input {
        Some(path) => input::open(path)?,
        None => input::invented(arguments.seed),
    };
    let server = MessageServer::new(&arguments.server)?;
    server.check().await?;
    let first = recorded.next().await?.ok_or("the input is empty")?;
    let day = Duration::from_secs_f64(arguments.day_seconds);
    let stage = Stage {
        server,
        archive: Arc::default(),
        started: Instant::now(),
    };
    let calendar = Calendar::new(first.sent_at, day);
    let printer = Printer::new(&arguments, calendar.clone());
    let (day_ends, ends) = mpsc::unbounded_channel();
    let reader = Reader::new(stage.clone(), lifetime, day, &arguments);
    let mut reading = tokio::spawn(reader.run(ends, printer));
    let most = arguments.days;
    let playing = play(&stage, recorded, first, &calendar, most, &day_ends);
    let played = tokio::select! {
        played = playing => played,
        // Before the playing it ends by an error or a panic alone.
        read = &mut reading => return Err(read?.err().map_or("nobody reads".into(), Into::into)),
    };
    drop(day_ends);
    let tally = reading.await??;
    let posted = played?;
    Ok(tally.conclude(&posted, arguments.output)?)
}

fn lifetime(arguments: &ReplayArguments) -> Result<Lifetime, Failure> {
    let seconds = |name: &str, value: f64| {
        let sane = value.is_finite() && (0.01..=1e6).contains(&value);
        sane.then(|| Duration::from_secs_f64(value))
            .ok_or(format!("--{name} must be between 0.01 and 1000000"))
    };
    seconds("day-seconds", arguments.day_seconds)?;
    let granularity = seconds("granularity", arguments.granularity)?;
    let border = (granularity / 60).min(Duration::from_secs(5));
    Ok(Lifetime {
        least: seconds("retention", arguments.retention)?,
        most: seconds("retention", arguments.retention)? + granularity + border + SLACK,
    })
}

/// What the posting came to.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    pub(crate) stored: usize,
    pub(crate) failures: Vec<String>,
    /// How far the replay fell behind its own time.
    pub(crate) behind: Duration,
}

async fn play(
    stage: &Stage,
    mut recorded: input::Input,
    first: Recorded,
    calendar: &Calendar,
    days: u32,
    day_ends: &mpsc::UnboundedSender<DayEnd>,
) -> Result<Posted, Failure> {
    let lanes = Lanes::start(stage);
    let (mut day, mut sent, mut behind) = (0, 0, Duration::ZERO);
    let end_day = async |day: u32, sent: usize| {
        tokio::time::sleep_until(stage.started + calendar.end_of(day)).await;
        // The reader outlives the playing, unless it panicked; that shows when it is joined.
        let _ = day_ends.send(DayEnd { day, sent });
    };
    let mut next = Some(first);
    while let Some(message) = next {
        while calendar.day_of(message.sent_at) > day && (days == 0 || day < days) {
            end_day(day, std::mem::take(&mut sent)).await;
            day += 1;
        }
        if days != 0 && day >= days {
            break;
        }
        let due = stage.started + calendar.due(message.sent_at);
        tokio::time::sleep_until(due).await;
        behind = behind.max(Instant::now() - due);
        lanes.send(message).await;
        sent += 1;
        next = recorded.next().await?;
    }
    if days == 0 || day < days {
        end_day(day, sent).await;
    }
    let (stored, failures) = lanes.finish().await;
    Ok(Posted {
        stored,
        failures,
        behind,
    })
}
