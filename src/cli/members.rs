use std::path::PathBuf;

use clap::{Args, Subcommand};
use lethe_store_postgres::{Connect, Host, Member, MemberRole};
use serde_json::{Value, json};

use super::output::Output;
use super::{Failure, block_on};
use crate::config::{Config, StoreSection, named_host};

/// `lethe members`
#[derive(Args)]
pub(super) struct Members {
    /// The configuration file of a node.
    #[arg(long, global = true, required = false)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    change: Option<Change>,
}

/// `lethe members`
#[derive(Subcommand)]
enum Change {
    /// Makes copies members, or takes members off.
    Set(Set),
}

/// `lethe members set`
#[derive(Args)]
struct Set {
    /// Copies that could be promoted from now on, or that have moved.
    #[arg(value_name = "NAME=HOST:PORT", value_parser = named_host)]
    hosts: Vec<Host>,
    /// A member that is stopped for good. If it is promoted all the same, it may open nothing: the root that it
    /// names may be destroyed.
    #[arg(long, value_name = "NAME")]
    off: Vec<String>,
}

impl Members {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let Some(path) = self.config else {
            return Err(Failure::new("--config is required"));
        };
        let StoreSection::Postgres(postgres) = Config::load(&path)?.store else {
            return Err(Failure::new(
                "the store of this configuration is not in PostgreSQL",
            ));
        };
        let connect = postgres.connect()?;
        let members = block_on(async { changed(&connect, self.change).await })?;
        let shown: Vec<Value> = members.iter().map(json_of).collect();
        output.print(&json!({ "members": shown }), || text_of(&members))
    }
}

async fn changed(connect: &Connect, change: Option<Change>) -> Result<Vec<Member>, Failure> {
    if let Some(Change::Set(Set { hosts, off })) = change {
        if hosts.is_empty() && off.is_empty() {
            return Err(Failure::new("name a copy, or one that is --off"));
        }
        connect.set_members(&hosts, &off).await?;
    }
    Ok(connect.members().await?)
}

fn json_of(member: &Member) -> Value {
    let (role, behind) = match member.role {
        MemberRole::Primary => ("primary", None),
        MemberRole::Follows(bytes) => ("follows", Some(bytes)),
        MemberRole::Away => ("away", None),
    };
    let address = member.host.to_string();
    json!({ "name": member.host.name, "address": address, "role": role, "bytes_behind": behind })
}

fn text_of(members: &[Member]) -> String {
    let line = |member: &Member| {
        let role = match member.role {
            MemberRole::Primary => "primary".to_owned(),
            MemberRole::Follows(bytes) => format!("follows, {bytes} bytes behind"),
            MemberRole::Away => "away: nothing is destroyed until it follows".to_owned(),
        };
        format!("{}  {}  {role}", member.host.name, member.host)
    };
    members.iter().map(line).collect::<Vec<_>>().join("\n")
}
