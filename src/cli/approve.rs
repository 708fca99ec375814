use clap::Args;
use lethe_client::{Approval, ApprovalId, Client};
use serde_json::{Value, json};

use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe approve`
#[derive(Args)]
pub(super) struct Approve {
    /// What to give the second word for; without one, all that waits is shown.
    ids: Vec<ApprovalId>,
    #[command(flatten)]
    remote: Remote,
}

impl Approve {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let client = self.remote.client()?;
        block_on(async {
            if self.ids.is_empty() {
                return list(&client, output).await;
            }
            for id in self.ids {
                let done = client.approve(id).await?;
                output.print(&done, || format!("{id}  approved, {}", outcome(&done)))?;
            }
            Ok(())
        })
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let waiting = client.approvals().await?;
    let shown = json!({ "approvals": waiting });
    output.print(&shown, || {
        if waiting.is_empty() {
            return "nothing waits for a second operator".to_owned();
        }
        let mut lines = vec![format!(
            "{:<36}  {:<24}  {:<24}  WHAT",
            "APPROVAL", "ASKED AT", "EXPIRES AT"
        )];
        lines.extend(waiting.iter().map(|one| {
            format!(
                "{}  {:<24}  {:<24}  {}, asked by {}",
                one.id,
                one.asked_at,
                one.expires_at,
                what(one),
                one.asked_by
            )
        }));
        lines.join("\n")
    })
}

fn what(approval: &Approval) -> String {
    let keyspace = &approval.keyspace;
    let number = |name: &str| approval.more.get(name).and_then(Value::as_u64).unwrap_or(0);
    match approval.kind.as_str() {
        "shred" => format!("shred {} of {keyspace}", number("conversations")),
        "keyspace_erase" => format!("erase keyspace {keyspace}"),
        "minimum_version" => {
            format!("refuse versions of {keyspace} before {}", number("version"))
        }
        "version_drop" => format!("drop version {} of {keyspace}", number("version")),
        other => format!("{other} in {keyspace}"),
    }
}

/// How far what was approved is.
fn outcome(done: &Value) -> String {
    let Some(items) = done["items"].as_array() else {
        return done["state"].as_str().unwrap_or("accepted").to_owned();
    };
    let of = |state: &str| items.iter().filter(|it| it["state"] == state).count();
    let (destroyed, accepted) = (of("destroyed"), of("accepted"));
    let refused = items.len() - destroyed - accepted;
    let mut text = format!("{destroyed} of {} destroyed", items.len());
    for (count, name) in [(accepted, "accepted"), (refused, "refused")] {
        if count > 0 {
            text += &format!(", {count} {name}");
        }
    }
    text
}
