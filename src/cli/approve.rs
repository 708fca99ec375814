use std::collections::HashSet;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use clap::Args;
use lethe_client::{Approval, ApprovalId, Client};
use lethe_core::approval::DigestKey;
use lethe_core::conversation::ConversationId;
use serde_json::{Value, json};

use super::output::Output;
use super::remote::Remote;
use super::shred::{Format, List};
use super::{Failure, block_on};

/// `lethe approve`
#[derive(Args)]
pub(super) struct Approve {
    /// What to approve; without one, all that waits is shown.
    ids: Vec<ApprovalId>,
    /// Approves only what was asked for with this digest, as who asked sees it.
    #[arg(long, value_name = "DIGEST", requires = "ids")]
    expect: Option<String>,
    /// Approves only shreds of this list: the file that who asked has shredded, whole. With all approvals
    /// of it.
    #[arg(long, value_name = "FILE", requires = "ids")]
    list: Option<PathBuf>,
    /// What the lines of --list are, as for `lethe shred --in`.
    #[arg(long, value_enum, requires = "list")]
    format: Option<Format>,
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
            self.compare(&client).await?;
            let results = client.approve_many(&self.ids).await?;
            let mut refused = Vec::new();
            for (id, result) in self.ids.iter().zip(results) {
                match result {
                    Ok(done) => {
                        output.print(&done, || format!("{id}  approved, {}", outcome(&done)))?;
                    }
                    Err(problem) => refused.push(format!("{id}: {problem}")),
                }
            }
            match refused.is_empty() {
                true => Ok(()),
                false => Err(Failure::new(refused.join("; "))),
            }
        })
    }

    /// Nothing is approved unless all of it is what was meant.
    async fn compare(&self, client: &Client) -> Result<(), Failure> {
        if self.expect.is_none() && self.list.is_none() {
            return Ok(());
        }
        let mut approvals = Vec::with_capacity(self.ids.len());
        for id in &self.ids {
            approvals.push(client.approval(*id).await?);
        }
        if let Some(expected) = &self.expect {
            for approval in &approvals {
                if digest_of(approval, "digest")? != expected {
                    let id = approval.id;
                    return Err(Failure::new(format!(
                        "{id} was asked for with another digest"
                    )));
                }
            }
        }
        match &self.list {
            Some(path) => compare_list(path, self.format, approvals),
            None => Ok(()),
        }
    }
}

fn digest_of<'a>(approval: &'a Approval, name: &str) -> Result<&'a str, Failure> {
    let found = approval.more.get(name).and_then(Value::as_str);
    found.ok_or_else(|| Failure::new(format!("{} has no {name}", approval.id)))
}

/// A list is sent in parts, some of them at once, and each part that waits is an approval: which part it
/// is, its digest says.
fn compare_list(
    path: &Path,
    format: Option<Format>,
    mut approvals: Vec<Approval>,
) -> Result<(), Failure> {
    let conversations = conversations(path, format)?;
    let mut rest = conversations.as_slice();
    approvals.sort_by_key(|approval| approval.id);
    approvals.dedup_by_key(|approval| approval.id);
    while let Some(first) = approvals.first() {
        let id = first.id;
        let next = approvals.iter().enumerate();
        let mut next = next.filter_map(|(place, it)| Some((place, without_part(it, rest)?)));
        let Some((place, left)) = next.next() else {
            let path = path.display();
            return Err(Failure::new(format!(
                "{id} was not asked for with the list {path}"
            )));
        };
        drop(next);
        rest = left;
        approvals.remove(place);
    }
    match rest.len() {
        0 => Ok(()),
        left => Err(Failure::new(format!(
            "{} names {left} conversations more than these approvals",
            path.display()
        ))),
    }
}

/// What is left of a list behind the part that an approval was asked for with; none if the list does
/// not begin with it.
fn without_part<'a>(
    approval: &Approval,
    list: &'a [ConversationId],
) -> Option<&'a [ConversationId]> {
    let count = approval.more.get("conversations").and_then(Value::as_u64)?;
    let (part, left) = list.split_at_checked(usize::try_from(count).ok()?)?;
    let key = Base64::decode_vec(digest_of(approval, "digest_key").ok()?).ok()?;
    let key = DigestKey::from_bytes(key.try_into().ok()?);
    let keyspace = approval.keyspace.as_deref()?.parse().ok()?;
    let digest = key.digest(part.iter().map(|conversation| (&keyspace, conversation)));
    let same = digest_of(approval, "digest").ok()? == Base64::encode_string(&digest);
    same.then_some(left)
}

/// Each once, in order.
fn conversations(path: &Path, format: Option<Format>) -> Result<Vec<ConversationId>, Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", path.display()));
    let list = List::read(&std::fs::read(path).map_err(failed)?, format);
    let mut seen = HashSet::new();
    let mut conversations = Vec::with_capacity(list.wanted.len());
    for wanted in &list.wanted {
        let text = wanted.conversation.as_str();
        if seen.insert(text) {
            let conversation = ConversationId::try_from(text);
            conversations.push(conversation.map_err(|error| Failure::new(error.to_string()))?);
        }
    }
    Ok(conversations)
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
                "{}  {:<24}  {:<24}  {}, asked by {}{}{}",
                one.id,
                one.asked_at,
                one.expires_at,
                what(one),
                one.asked_by,
                more(one, "reason", ": "),
                more(one, "digest", ", digest ")
            )
        }));
        lines.join("\n")
    })
}

fn more(approval: &Approval, name: &str, before: &str) -> String {
    let text = approval.more.get(name).and_then(Value::as_str);
    text.map_or_else(String::new, |text| format!("{before}{text}"))
}

fn what(approval: &Approval) -> String {
    let keyspace = approval.keyspace.as_deref().unwrap_or_default();
    let number = |name: &str| approval.more.get(name).and_then(Value::as_u64).unwrap_or(0);
    match approval.kind.as_str() {
        "shred" => format!("shred {} of {keyspace}", number("conversations")),
        "keyspace_erase" => format!("erase keyspace {keyspace}"),
        "minimum_version" => {
            format!("refuse versions of {keyspace} before {}", number("version"))
        }
        "version_drop" => format!("drop version {} of {keyspace}", number("version")),
        "keyspace_settings" => {
            let longer = |name: &str| {
                let of = |which: &str| approval.more.get(which).map(|it| it[name].clone());
                let (before, after) = (of("settings_before")?, of("settings")?);
                let text = || {
                    Some(format!(
                        "{name} {} -> {}",
                        before.as_str()?,
                        after.as_str()?
                    ))
                };
                (before != after).then(text)?
            };
            let names = ["retention", "granularity", "rotation", "cache_ttl"];
            let changes: Vec<String> = names.into_iter().filter_map(longer).collect();
            format!("change {keyspace}: {}", changes.join(", "))
        }
        "clock_confirmation" => "believe the wall clock, which jumped ahead".to_owned(),
        "hsm_move" => "move everything to the other HSM".to_owned(),
        other => format!("{other} {keyspace}").trim_end().to_owned(),
    }
}

/// How far what was approved is.
fn outcome(done: &Value) -> String {
    let Some(items) = done["items"].as_array() else {
        return done["state"].as_str().unwrap_or("done").to_owned();
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
