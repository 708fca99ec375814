use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use lethe_client::{Client, Error, ErrorCode, KeyspaceName, Shred, ShredId};

use crate::cli::Failure;
use crate::cli::output::{Output, ask};
use crate::cli::remote::Remote;
use crate::cli::shred::ShredReport;

/// No limit: what is accepted is never taken back.
const WAIT_LIMIT: Duration = Duration::MAX;
const TICK: Duration = Duration::from_millis(100);

/// `lethe keyspace erase`
#[derive(Args)]
pub(in crate::cli) struct Erase {
    /// Name of the keyspace.
    name: KeyspaceName,
    #[command(flatten)]
    order: Order,
}

/// `lethe keyspace drop-version`
#[derive(Args)]
pub(in crate::cli) struct DropVersion {
    /// Name of the keyspace.
    name: KeyspaceName,
    /// Number of the key version.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    #[command(flatten)]
    order: Order,
}

#[derive(Args)]
struct Order {
    /// Does not ask for confirmation. Needed without a terminal.
    #[arg(long)]
    yes: bool,
    /// Waits no longer than 10 s for the end. What is accepted cannot be undone.
    #[arg(long)]
    no_wait: bool,
    /// Id of this order, if it failed before or was approved meanwhile.
    #[arg(long)]
    id: Option<ShredId>,
    /// Reason, at most 256 characters, for the audit log and the second operator.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Erase {
    pub(super) async fn run(self, output: Output) -> Result<(), Failure> {
        let name = &self.name;
        let what = format!("keyspace {}", name.as_str());
        self.order.confirm(&what, name.as_str())?;
        let reason = self.order.reason.as_deref();
        let erase = async |client: &Client, id| client.erase_keyspace(name, id, reason).await;
        let shred = self.order.run(name, erase).await?;
        let report = ShredReport::new(&shred);
        output.print(&report, || report.line(&what))
    }
}

impl DropVersion {
    pub(super) async fn run(self, output: Output) -> Result<(), Failure> {
        let (name, number) = (&self.name, self.number);
        let what = format!("version {number} of keyspace {}", name.as_str());
        self.order.confirm(&what, &number.to_string())?;
        let reason = self.order.reason.as_deref();
        let drop = async |client: &Client, id| client.drop_version(name, number, id, reason).await;
        let shred = self.order.run(name, drop).await?;
        let report = ShredReport::new(&shred);
        output.print(&report, || report.line(&what))
    }
}

impl Order {
    async fn run(
        &self,
        keyspace: &KeyspaceName,
        send: impl AsyncFnOnce(&Client, ShredId) -> Result<Shred, Error>,
    ) -> Result<Shred, Failure> {
        let client = self.remote.client()?;
        let id = self.id.unwrap_or_else(ShredId::random);
        let failed = |error| failed(&error, id);
        let shred = send(&client, id).await.map_err(failed)?;
        if self.no_wait || matches!(shred, Shred::Destroyed(_)) {
            return Ok(shred);
        }
        let spinner = ProgressBar::new_spinner().with_message("accepted, not yet destroyed");
        spinner.enable_steady_tick(TICK);
        let waited = client
            .wait_until_destroyed(keyspace, shred, WAIT_LIMIT)
            .await;
        spinner.finish_and_clear();
        waited.map_err(failed)
    }

    /// Asks a person to type the name, because there is no undo. A program uses `--yes`.
    fn confirm(&self, what: &str, word: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            let text = format!("{what} would be gone for good: say --yes, or ask at a terminal");
            return Err(Failure::new(text));
        }
        let typed = ask(&format!(
            "All that {what} ever sealed becomes unreadable, for everyone and for good.\nType {word} to go on: "
        ))?;
        if typed == word {
            Ok(())
        } else {
            Err(Failure::new("nothing was done"))
        }
    }
}

/// The error of a call that may have been accepted, unless the service says that it was not.
fn failed(error: &Error, id: ShredId) -> Failure {
    match error {
        Error::Service(problem) if problem.code == ErrorCode::ApprovalRequired => Failure::new(
            format!("{error}; then, for the receipt, say this again with --id {id}"),
        ),
        Error::Service(problem) if problem.status.is_some_and(|status| status < 500) => {
            Failure::new(error.to_string())
        }
        _ => Failure::new(format!("{error}; to run it again, add --id {id}")),
    }
}
