use clap::Args;
use serde_json::Value;

use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe status`
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    remote: Remote,
}

impl Status {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let status = block_on(async { Ok(self.remote.client()?.status().await?) })?;
        output.print(&status, || text(&status))
    }
}

fn text(status: &Value) -> String {
    let field = |name: &str| status[name].as_str().unwrap_or("-").to_owned();
    let mut lines = vec![
        "If everything were seized now:".to_owned(),
        format!(
            "  live buckets    {}, {} overdue",
            status["live_buckets"], status["overdue_buckets"]
        ),
        format!("  next one dies   {}", field("next_expiry")),
        format!("  last one dies   {}", field("last_expiry")),
        format!("  HSM             {}", field("hsm")),
        format!("  store           {}", field("store")),
        format!("  audit log       {}", field("audit")),
        format!("  clock           {}", field("clock")),
    ];
    for keyspace in status["keyspaces"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  keyspace {}: readable from {}, versions {}",
            keyspace["name"].as_str().unwrap_or("-"),
            keyspace["oldest_readable"].as_str().unwrap_or("-"),
            keyspace["versions"],
        ));
    }
    lines.join("\n")
}
