//! `lethe approve`: lists what waits for a second operator, and approves it.

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
    /// Ids of the approvals. Without one the command lists all approvals that wait.
    ids: Vec<ApprovalId>,
    /// Approves only if the digest is this one. The client that asked sees it in its answer.
    #[arg(long, value_name = "DIGEST", requires = "ids")]
    expect: Option<String>,
    /// Approves only if the approvals together are for exactly the conversations of this list. Give the ids of
    /// all approvals of the list.
    #[arg(long, value_name = "FILE", requires = "ids")]
    list: Option<PathBuf>,
    /// Format of the lines of --list, as for `lethe shred --in`.
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

    /// Compares all approvals with --expect and --list before any is approved.
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

/// Compares approvals with a list. The list is sent in parts, and each part is an approval; its digest shows
/// which part it is.
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
            "{} has {left} conversations more than these approvals",
            path.display()
        ))),
    }
}

/// The rest of a list after the part of an approval; none if the list does not begin with that part.
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

/// The conversations of a list in order, each once.
fn conversations(path: &Path, format: Option<Format>) -> Result<Vec<ConversationId>, Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", path.display()));
    let list = List::read(&std::fs::read(path).map_err(failed)?, format);
    let mut seen = HashSet::new();
    let mut conversations = Vec::with_capacity(list.shreds.len());
    for shred in &list.shreds {
        let text = shred.conversation.as_str();
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
                action(one),
                one.asked_by,
                field(one, "reason", ": "),
                field(one, "digest", ", digest ")
            )
        }));
        lines.join("\n")
    })
}

/// An optional field of an approval, with a text before it.
fn field(approval: &Approval, name: &str, before: &str) -> String {
    let text = approval.more.get(name).and_then(Value::as_str);
    text.map_or_else(String::new, |text| format!("{before}{text}"))
}

/// What an approval is for.
fn action(approval: &Approval) -> String {
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
                let setting = |which: &str| approval.more.get(which).map(|it| it[name].clone());
                let (before, after) = (setting("settings_before")?, setting("settings")?);
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
        "clock_confirmation" => "confirm the wall clock, which jumped ahead".to_owned(),
        "hsm_move" => "move all keys to the other HSM".to_owned(),
        other => format!("{other} {keyspace}").trim_end().to_owned(),
    }
}

/// How many of the approved items are destroyed.
fn outcome(done: &Value) -> String {
    let Some(items) = done["items"].as_array() else {
        return done["state"].as_str().unwrap_or("done").to_owned();
    };
    let count_of = |state: &str| items.iter().filter(|it| it["state"] == state).count();
    let (destroyed, accepted) = (count_of("destroyed"), count_of("accepted"));
    let refused = items.len() - destroyed - accepted;
    let mut text = format!("{destroyed} of {} destroyed", items.len());
    for (count, name) in [(accepted, "accepted"), (refused, "refused")] {
        if count > 0 {
            text += &format!(", {count} {name}");
        }
    }
    text
}
