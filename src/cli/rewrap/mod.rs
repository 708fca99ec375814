//! `lethe rewrap`: a file of wrapped keys to the newest version.

mod census;
mod lines;
mod pace;
mod reporter;
mod resume;
mod run;
mod tally;

use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use lethe_client::{Client, Keyspace, KeyspaceName};
use serde_json::json;

use self::lines::Reader;
use self::pace::Pace;
use self::reporter::Reporter;
use self::resume::{Draft, Task, named};
use self::run::Run;
use self::tally::Tally;
use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe rewrap`
#[derive(Args)]
pub(super) struct Rewrap {
    /// Name of the keyspace.
    keyspace: KeyspaceName,
    /// File of JSON lines {"conversation","wrapped_key"}. Other members stay as they are.
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// File for the same lines with keys of the newest version, in the same order. It is FILE.part
    /// until all is done; a run after a kill continues it.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Replaces the output file if it is there.
    #[arg(long, conflicts_with = "dry_run")]
    force: bool,
    /// Leaves out lines that cannot be rewrapped, instead of keeping them as they are.
    #[arg(long, conflicts_with = "dry_run")]
    drop_bad: bool,
    /// At most N keys a second.
    #[arg(long, value_name = "N", conflicts_with = "dry_run")]
    rate: Option<NonZeroU32>,
    /// Reads all lines and counts keys by version, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Rewrap {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let file = self.open()?;
        if let (Some(out), false, false) = (&self.out, self.force, self.dry_run) {
            refuse_existing(out)?;
        }
        let client = self.remote.client()?;
        block_on(async {
            let keyspace = client.keyspace(&self.keyspace).await?;
            match &self.out {
                Some(out) if !self.dry_run => self.rewrap(&client, file, out, output).await,
                _ => self.census(&keyspace, file, output),
            }
        })
    }

    fn open(&self) -> Result<File, Failure> {
        let named = |error| named(&self.input, error);
        let file = File::open(&self.input).map_err(named)?;
        // It opens, and fails only when read.
        if file.metadata().map_err(named)?.is_dir() {
            return Err(named(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(file)
    }

    async fn rewrap(
        &self,
        client: &Client,
        file: File,
        out: &Path,
        output: Output,
    ) -> Result<(), Failure> {
        let metadata = file.metadata()?;
        let mode = metadata.permissions().mode() & 0o777;
        let mut input = BufReader::with_capacity(1 << 18, file);
        let task = Task::new(self.keyspace.as_str(), self.drop_bad);
        let (mut draft, mut tally) = Draft::open(out, task, &mut input, mode)?;
        let resumed = tally.lines;
        let mut reporter = self.reporter(metadata.len(), draft.input_bytes());
        let mut run = Run {
            client,
            keyspace: &self.keyspace,
            reader: Reader::new(input, tally.lines),
            draft: &mut draft,
            pace: Pace::new(self.rate),
            reporter: &mut reporter,
            tally: &mut tally,
            drop_bad: self.drop_bad,
            whole: true,
        };
        let done = run.rewrap().await;
        reporter.finish();
        done.map_err(|failure| unfinished(&failure))?;
        draft.finish()?;
        let shown = json!({
            "keyspace": self.keyspace.as_str(), "out": out, "dry_run": false,
            "lines": tally.lines, "resumed_after": resumed, "rewrapped": tally.rewrapped,
            "bad": tally.bad(), "bad_by_reason": tally.bad,
            "census": { "before": tally.before, "after": tally.after },
        });
        output.print(&shown, || {
            let table = census::table(&tally.before, Some(&tally.after));
            format!(
                "{table}\n{} of {} lines rewrapped",
                tally.rewrapped, tally.lines
            )
        })?;
        let fate = if self.drop_bad {
            "left out"
        } else {
            "kept as they were"
        };
        verdict(&tally, &format!("; they are {fate}, the others are done"))
    }

    fn census(&self, keyspace: &Keyspace, file: File, output: Output) -> Result<(), Failure> {
        let mut reporter = self.reporter(file.metadata()?.len(), 0);
        let mut tally = Tally::default();
        let mut reader = Reader::new(BufReader::with_capacity(1 << 18, file), 0);
        let done = run::census(&mut reader, &mut reporter, &mut tally);
        reporter.finish();
        done.map_err(|failure| {
            Failure::new(format!("{}: {}", self.input.display(), failure.message))
        })?;
        let newest = newest(keyspace);
        let old = newest.map(|newest| tally.before.below(newest));
        let shown = json!({
            "keyspace": self.keyspace.as_str(), "dry_run": true, "newest_version": newest,
            "lines": tally.lines, "to_rewrap": old,
            "bad": tally.bad(), "bad_by_reason": tally.bad,
            "census": { "before": tally.before },
        });
        output.print(&shown, || {
            let mut text = census::table(&tally.before, None);
            if let (Some(newest), Some(old)) = (newest, old) {
                let all = tally.before.keys();
                text.push_str(&format!(
                    "\n{old} of {all} keys are older than version {newest}"
                ));
            }
            text
        })?;
        verdict(&tally, "")
    }

    fn reporter(&self, bytes: u64, done: u64) -> Reporter {
        Reporter::new(self.input.display().to_string(), bytes, done)
    }
}

fn refuse_existing(out: &Path) -> Result<(), Failure> {
    // Also a link to nowhere would be replaced.
    match out.symlink_metadata() {
        Ok(_) => Err(Failure::new(format!(
            "{} is there already; --force replaces it",
            out.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(named(out, error)),
    }
}

/// Bad lines make it a failure, at the end.
fn verdict(tally: &Tally, what: &str) -> Result<(), Failure> {
    if tally.bad.is_empty() {
        return Ok(());
    }
    let (bad, lines, reasons) = (tally.bad(), tally.lines, tally.reasons());
    Err(Failure::new(format!(
        "{bad} of {lines} lines are bad: {reasons}{what}"
    )))
}

fn unfinished(failure: &Failure) -> Failure {
    Failure::new(format!("{}; run it again to go on", failure.message))
}

/// Of the versions that the service shows.
fn newest(keyspace: &Keyspace) -> Option<u32> {
    let versions = keyspace.more.get("versions")?.as_array()?.iter();
    let numbers = versions.filter_map(|version| version["version"].as_u64());
    numbers.max()?.try_into().ok()
}
