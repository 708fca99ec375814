mod erase;

use clap::{Args, Subcommand};
use lethe_client::{Keyspace, KeyspaceName, KeyspaceSettings, PutKeyspace};
use lethe_core::duration::Span;
use serde_json::{Value, json};

use super::output::{Output, printable};
use super::remote::Remote;
use super::{Failure, block_on};
use crate::observability::logging;

/// `lethe keyspace`
#[derive(Subcommand)]
pub(super) enum KeyspaceCommand {
    /// Lists the keyspaces that you may see, with their settings.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows one keyspace: settings, live buckets, key versions and their last use.
    Show {
        /// Name of the keyspace.
        name: KeyspaceName,
        #[command(flatten)]
        remote: Remote,
    },
    /// Makes a keyspace, or changes the given settings of one, for keys issued from now on.
    Set {
        /// Name of the keyspace.
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

/// The given settings. Without one a new keyspace has the default, and an existing keyspace keeps what
/// it has.
#[derive(Args)]
pub(super) struct Settings {
    /// How long messages live at least, such as 72h.
    #[arg(long)]
    retention: Option<String>,
    /// Width of a bucket, such as 1h: messages live at most so much longer.
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
    /// Keys of older versions are refused. To raise it may need a second operator; to lower it always
    /// does.
    #[arg(long)]
    minimum_version: Option<u32>,
}

impl Settings {
    /// The given settings, and for the rest the present ones, or the defaults of a new keyspace.
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

impl KeyspaceCommand {
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
    output.print(&keyspace, || text(&keyspace))
}

/// A keyspace for people: its settings, and what else the service shows of it.
fn text(keyspace: &Keyspace) -> String {
    let more = |name: &str| keyspace.more.get(name).unwrap_or(&Value::Null);
    let string = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let settings = &keyspace.settings;
    let mut rows = vec![
        ("keyspace", keyspace.name.clone()),
        ("id", string(more("id"))),
        ("retention", settings.retention.clone()),
        ("granularity", settings.granularity.clone()),
        ("rotation", settings.rotation.clone()),
        ("cache ttl", settings.cache_ttl.clone()),
        ("live buckets", more("live_buckets").to_string()),
    ];
    if !settings.retentions.is_empty() {
        rows.insert(3, ("shorter ones", settings.retentions.join(" ")));
    }
    if let Some(minimum) = settings.minimum_version.filter(|minimum| *minimum > 1) {
        rows.push((
            "minimum",
            format!("older versions than {minimum} are refused"),
        ));
    }
    for version in more("versions").as_array().into_iter().flatten() {
        let mut text = version["version"].to_string();
        for (name, field) in [
            ("since", "created_at"),
            ("last issued", "last_issued_at"),
            ("last unwrapped", "last_unwrapped_at"),
        ] {
            if let Some(time) = version[field].as_str() {
                text += &format!(", {name} {time}");
            }
        }
        rows.push(("version", text));
    }
    let row = |(name, value): (&str, String)| format!("{name:<13} {}", printable(&value));
    rows.into_iter().map(row).collect::<Vec<_>>().join("\n")
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
    let before = present.clone();
    let settings = settings.over(present);
    let done = client.put_keyspace(name, &settings).await?;
    warn_of_cache_ttl(&settings);
    let verb = match done {
        PutKeyspace::Created => "created",
        PutKeyspace::Changed => "changed",
    };
    let shown = json!({ "name": name.as_str(), "result": verb, "settings": settings });
    output.print(&shown, || {
        let settings = changes(&settings, before.as_ref());
        format!("{} {verb}: {settings}", name.as_str())
    })
}

/// The settings as they are now, and behind each changed one what it was before.
fn changes(now: &KeyspaceSettings, before: Option<&KeyspaceSettings>) -> String {
    let minimum = |it: &KeyspaceSettings| it.minimum_version.map(|number| number.to_string());
    let retentions = |it: &KeyspaceSettings| {
        let some = !it.retentions.is_empty();
        some.then(|| it.retentions.join(" "))
    };
    let all = |it: &KeyspaceSettings| {
        [
            ("retention", Some(it.retention.clone())),
            ("shorter ones", retentions(it)),
            ("granularity", Some(it.granularity.clone())),
            ("rotation", Some(it.rotation.clone())),
            ("cache ttl", Some(it.cache_ttl.clone())),
            ("minimum version", minimum(it)),
        ]
    };
    let before = before.map(all);
    let texts = all(now)
        .into_iter()
        .enumerate()
        .filter_map(|(place, (name, now))| {
            let now = now?;
            let was = before.as_ref().and_then(|before| before[place].1.clone());
            Some(match was.filter(|was| *was != now) {
                Some(was) => format!("{name} {now} (was {was})"),
                None => format!("{name} {now}"),
            })
        });
    texts.collect::<Vec<_>>().join(", ")
}

/// A lease does not outlive its key.
fn warn_of_cache_ttl(settings: &KeyspaceSettings) {
    let span = |text: &str| text.parse::<Span>().ok();
    if span(&settings.cache_ttl) > span(&settings.retention) {
        logging::say(&printable(&format!(
            "lethe: warning: a cache ttl of {} is longer than the retention of {}: clients may keep a key until it expires, \
             also one whose conversation is shredded",
            settings.cache_ttl, settings.retention
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_said_with_what_it_was() {
        let settings = |retention: &str, minimum_version| KeyspaceSettings {
            retention: retention.into(),
            retentions: Vec::new(),
            granularity: "1h".into(),
            rotation: "30d".into(),
            cache_ttl: "5m".into(),
            minimum_version,
        };
        let now = settings("48h", Some(2));
        assert_eq!(
            changes(&now, Some(&settings("72h", None))),
            "retention 48h (was 72h), granularity 1h, rotation 30d, cache ttl 5m, minimum version 2"
        );
        assert_eq!(
            changes(&settings("72h", None), None),
            "retention 72h, granularity 1h, rotation 30d, cache ttl 5m"
        );
    }
}
