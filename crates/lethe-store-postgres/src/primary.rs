//! Which copy of the database is the primary: the one that can be written. A copy that was promoted has a
//! higher timeline than the primary before it.

use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use crate::connect::{Connect, Host};
use crate::errors::{during, failed, within};
use crate::session;

/// Longest wait for one copy: a machine that is gone must not hide the primary.
const ANSWER: Duration = Duration::from_secs(2);

/// The copy that can be written.
#[derive(Debug, Clone)]
pub(crate) struct Primary {
    pub(crate) host: Host,
    /// In hexadecimal, as in the names of files of the WAL.
    pub(crate) timeline: String,
    /// How to connect to it.
    pub(crate) options: PgConnectOptions,
}

impl Primary {
    /// Whether both are the same server, which was not rewound to another history in between.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.host == other.host && self.timeline == other.timeline
    }
}

/// Asks all copies at once, each in a session of this name. Of several that can be written the newest timeline
/// counts: the others were primaries before.
///
/// # Errors
/// [`StoreError::Unavailable`] with the reason of each copy when none can be written, or two of one timeline:
/// nobody can know which of them is a clone.
pub(crate) async fn find(
    connect: &Connect,
    application: &'static str,
) -> Result<(Primary, PgConnection), StoreError> {
    let mut asked = JoinSet::new();
    for host in connect.hosts.clone() {
        let options = connect.options(&host);
        asked.spawn(async move {
            let answer = within(ANSWER, "connect", ask(&host, options, application));
            (answer.await, host)
        });
    }
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok((Ok(primary), _)) => found.push(primary),
            Ok((Err(error), host)) => refused.push((host.name, error)),
            Err(_) => {}
        }
    }
    found.sort_by(|(a, _), (b, _)| a.timeline.cmp(&b.timeline));
    let Some((newest, connection)) = found.pop() else {
        return Err(none_of(refused, connect.hosts.len()));
    };
    if let Some((same, _)) = found.iter().find(|it| it.0.timeline == newest.timeline) {
        let why = format!(
            "{} and {} can both be written and have the same timeline: one of them is a clone",
            same.host.name, newest.host.name
        );
        return Err(StoreError::Unavailable(why));
    }
    Ok((newest, connection))
}

async fn ask(
    host: &Host,
    options: PgConnectOptions,
    application: &'static str,
) -> Result<(Primary, PgConnection), StoreError> {
    let mut connection = session::connect(&options.clone().application_name(application)).await?;
    let timeline = sqlx::query_scalar("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)");
    let timeline = timeline.fetch_one(&mut connection).await;
    let primary = Primary {
        host: host.clone(),
        timeline: timeline.map_err(during("find the primary"))?,
        options,
    };
    Ok((primary, connection))
}

/// One copy alone says why itself.
fn none_of(mut refused: Vec<(String, StoreError)>, copies: usize) -> StoreError {
    refused.sort_by(|(a, _), (b, _)| a.cmp(b));
    match (copies, refused.pop()) {
        (1, Some((_, error))) => error,
        (_, last) => {
            let all = refused.into_iter().chain(last);
            let all: Vec<String> = all
                .map(|(name, error)| format!("{name}: {error}"))
                .collect();
            failed("no copy of the database can be written", &all.join("; "))
        }
    }
}
