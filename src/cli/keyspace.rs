mod erase;

use clap::{Args, Subcommand};
use lethe_client::{KeyspaceName, KeyspaceSettings, PutKeyspace};
use serde_json::{Value, json};

use super::output::{Output, printable};
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe keyspace`
#[derive(Subcommand)]
pub(super) enum Keyspace {
    /// All keyspaces.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One keyspace.
    Show {
        /// Its name.
        name: KeyspaceName,
        #[command(flatten)]
        remote: Remote,
    },
    /// Makes a keyspace, or changes the settings given for keys issued from now on.
    Set {
        /// Its name.
        name: KeyspaceName,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        remote: Remote,
    },
    /// Erases a keyspace with all that it ever sealed, now and for good.
    Erase(erase::Erase),
    /// Drops an old key version with all that it ever sealed, now and for good.
    DropVersion(erase::DropVersion),
}

/// Settings; those of an existing keyspace stay where none is given.
#[derive(Args)]
pub(super) struct Settings {
    /// How long messages live at least, such as 72h.
    #[arg(long)]
    retention: Option<String>,
    /// Width of a bucket, such as 1h.
    #[arg(long)]
    granularity: Option<String>,
    /// Age at which a key version is replaced, such as 30d.
    #[arg(long)]
    rotation: Option<String>,
    /// How long a client may keep a plaintext data key, such as 5m.
    #[arg(long)]
    cache_ttl: Option<String>,
    /// Shorter retentions that an issue may choose, such as 1h,1d; "" for none.
    #[arg(long, value_delimiter = ',')]
    retentions: Option<Vec<String>>,
    /// Older key versions are refused; can only be raised.
    #[arg(long)]
    minimum_version: Option<u32>,
}

impl Settings {
    /// Over what is there, or over the defaults of a new keyspace.
    fn over(self, present: Option<KeyspaceSettings>) -> KeyspaceSettings {
        let present = present.unwrap_or_else(|| KeyspaceSettings {
            retention: "72h".into(),
            granularity: "1h".into(),
            rotation: "30d".into(),
            cache_ttl: "5m".into(),
            retentions: Vec::new(),
            minimum_version: None,
        });
        KeyspaceSettings {
            retention: self.retention.unwrap_or(present.retention),
            granularity: self.granularity.unwrap_or(present.granularity),
            rotation: self.rotation.unwrap_or(present.rotation),
            cache_ttl: self.cache_ttl.unwrap_or(present.cache_ttl),
            retentions: match self.retentions {
                Some(given) => given.into_iter().filter(|it| !it.is_empty()).collect(),
                None => present.retentions,
            },
            minimum_version: self.minimum_version.or(present.minimum_version),
        }
    }
}

impl Keyspace {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        block_on(async {
            match self {
                Self::List { remote } => list(&remote, output).await,
                Self::Show { name, remote } => show(&remote, &name, output).await,
                Self::Set {
                    name,
                    settings,
                    remote,
                } => set(&remote, &name, settings, output).await,
                Self::Erase(command) => command.run(output).await,
                Self::DropVersion(command) => command.run(output).await,
            }
        })
    }
}

async fn list(remote: &Remote, output: Output) -> Result<(), Failure> {
    let keyspaces = remote.client()?.keyspaces().await?;
    let shown = json!({ "keyspaces": keyspaces });
    output.print(&shown, || {
        let mut lines = vec![format!(
            "{:<24} {:>10} {:>12} {:>9} {:>10}",
            "KEYSPACE", "RETENTION", "GRANULARITY", "ROTATION", "CACHE TTL"
        )];
        lines.extend(keyspaces.iter().map(|keyspace| {
            let KeyspaceSettings {
                retention,
                granularity,
                rotation,
                cache_ttl,
                ..
            } = &keyspace.settings;
            format!(
                "{:<24} {retention:>10} {granularity:>12} {rotation:>9} {cache_ttl:>10}",
                keyspace.name
            )
        }));
        lines.join("\n")
    })
}

async fn show(remote: &Remote, name: &KeyspaceName, output: Output) -> Result<(), Failure> {
    let keyspace = remote.client()?.keyspace(name).await?;
    let shown = serde_json::to_value(&keyspace)?;
    output.print(&shown, || fields(&shown))
}

/// A line for each field.
pub(super) fn fields(value: &Value) -> String {
    let object = value.as_object().into_iter().flatten();
    let line = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name:<14} {}", printable(text)),
        other => format!("{name:<14} {other}"),
    };
    object.map(line).collect::<Vec<_>>().join("\n")
}

async fn set(
    remote: &Remote,
    name: &KeyspaceName,
    settings: Settings,
    output: Output,
) -> Result<(), Failure> {
    let client = remote.client()?;
    let present = match client.keyspace(name).await {
        Ok(keyspace) => Some(keyspace.settings),
        Err(error) if error.code() == Some(&lethe_client::ErrorCode::UnknownKeyspace) => None,
        Err(error) => return Err(error.into()),
    };
    let done = client.put_keyspace(name, &settings.over(present)).await?;
    let verb = match done {
        PutKeyspace::Created => "created",
        PutKeyspace::Changed => "changed",
    };
    let shown = json!({ "name": name.as_str(), "result": verb });
    output.print(&shown, || format!("{} {verb}", name.as_str()))
}
