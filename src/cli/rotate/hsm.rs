use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lethe_client::Client;
use lethe_pkcs11::TokenSelector;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::cli::Failure;
use crate::cli::keyspace::fields;
use crate::cli::output::Output;
use crate::cli::remote::Remote;
use crate::config::Config;

/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(250);
/// After this time a trouble that keeps the move from going on is reported as an error.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// `lethe rotate hsm`
#[derive(Args)]
pub(in crate::cli) struct Hsm {
    /// The configuration that the service will run with afterwards: its [hsm] is the [hsm_next] of
    /// the present one.
    #[arg(long, value_name = "CONFIG")]
    to: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// The status of the move, as the service answers it.
#[derive(Deserialize)]
struct MoveStatus {
    state: String,
    from: Device,
    to: Option<Device>,
    buckets: u64,
    moved_buckets: u64,
    trouble: Option<String>,
}

#[derive(Deserialize)]
struct Device {
    module: PathBuf,
    token: String,
    serial: Option<String>,
    slot: Option<u64>,
}

impl Device {
    /// A path may be written in several ways.
    fn is(&self, module: &Path, token: &TokenSelector) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.selector() == *token && real(&self.module) == real(module)
    }

    fn selector(&self) -> TokenSelector {
        TokenSelector {
            label: self.token.clone(),
            serial: self.serial.clone(),
            slot: self.slot,
        }
    }

    fn name(&self) -> String {
        format!("token {} of {}", self.selector(), self.module.display())
    }
}

impl Hsm {
    pub(super) async fn run(self, output: Output) -> Result<(), Failure> {
        let (module, token) = Config::device_of(&self.to)?;
        let client = self.remote.client()?;
        let mut shown = client.hsm_move().await?;
        if !is_there(&status(&shown)?, &module, &token)? {
            client.move_hsm().await?;
            shown = follow(&client).await?;
        }
        output.print(&shown, || fields(&shown))
    }
}

fn status(shown: &Value) -> Result<MoveStatus, Failure> {
    Ok(MoveStatus::deserialize(shown)?)
}

/// Whether the move is done. An error if the service moves to another HSM than this.
fn is_there(status: &MoveStatus, module: &Path, token: &TokenSelector) -> Result<bool, Failure> {
    let is_target = |device: &Device| device.is(module, token);
    match (status.state.as_str(), &status.to) {
        ("unconfigured", _) if is_target(&status.from) => Ok(true),
        ("moved", Some(to)) if is_target(to) => Ok(true),
        (_, Some(to)) if is_target(to) => Ok(false),
        (_, Some(to)) => Err(Failure::new(format!(
            "the service moves to {}, but the configuration names token {token} of {}",
            to.name(),
            module.display()
        ))),
        (_, None) => Err(Failure::new(format!(
            "the service knows {} alone: add [hsm_next] to its configuration and restart it",
            status.from.name()
        ))),
    }
}

async fn follow(client: &Client) -> Result<Value, Failure> {
    // Draws nothing where standard error is no terminal.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} buckets moved {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut since: Option<Instant> = None;
    loop {
        let shown = client.hsm_move().await?;
        let status = status(&shown)?;
        bar.set_length(status.buckets);
        bar.set_position(status.moved_buckets);
        if status.state == "moved" {
            bar.finish_and_clear();
            return Ok(shown);
        }
        match status.trouble {
            None => since = None,
            Some(why) if since.get_or_insert_with(Instant::now).elapsed() >= WAIT_LIMIT => {
                return Err(Failure::new(format!(
                    "the move waits and goes on by itself once it can: {why}"
                )));
            }
            Some(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}
