use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lethe_store_postgres::{Connect, Host, Tls};
use serde::Deserialize;

use super::{ConfigError, secret};

/// `[store]`: one of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Options")]
pub enum StoreSection {
    /// `store.sqlite`: the path of the SQLite database.
    Sqlite(PathBuf),
    /// `[store.postgres]`: a database in PostgreSQL.
    Postgres(PostgresSection),
}

/// `[store]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    sqlite: Option<PathBuf>,
    postgres: Option<PostgresSection>,
}

impl TryFrom<Options> for StoreSection {
    type Error = &'static str;

    fn try_from(options: Options) -> Result<Self, &'static str> {
        match (options.sqlite, options.postgres) {
            (Some(path), None) => Ok(Self::Sqlite(path)),
            (None, Some(postgres)) => Ok(Self::Postgres(postgres)),
            (None, None) => Err("store needs `sqlite` or [store.postgres]"),
            (Some(_), Some(_)) => Err("store takes `sqlite` or [store.postgres], not both"),
        }
    }
}

/// `[store.postgres]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSection {
    /// The copies of the database: a name, and `host:port` or the folder of a socket.
    pub hosts: BTreeMap<String, String>,
    /// The name of the database.
    pub database: String,
    /// The role to connect as.
    pub user: String,
    /// Path of the file with the role's password.
    pub password_file: Option<PathBuf>,
    /// CAs that sign the certificates of the servers, PEM; required unless all hosts are sockets.
    pub ca: Option<PathBuf>,
    /// Certificate of this client, PEM.
    pub certificate: Option<PathBuf>,
    /// Key of this client, PEM.
    pub key: Option<PathBuf>,
    /// On how many copies something has to be before it is answered or used; more than half if it is not given.
    pub durable_on: Option<u32>,
    /// A folder of this node's own, for its lock.
    pub state: PathBuf,
}

/// Where PostgreSQL listens if an address names no port.
const PORT: u16 = 5432;

impl StoreSection {
    /// Checks the options.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(postgres) => postgres.check(),
        }
    }

    /// The paths, with the names of their options.
    pub(super) fn paths(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        match self {
            Self::Sqlite(path) => vec![("store.sqlite", path)],
            Self::Postgres(postgres) => {
                let given = [
                    ("store.postgres.password_file", &mut postgres.password_file),
                    ("store.postgres.ca", &mut postgres.ca),
                    ("store.postgres.certificate", &mut postgres.certificate),
                    ("store.postgres.key", &mut postgres.key),
                ];
                let given = given.into_iter();
                let given = given.filter_map(|(name, path)| Some((name, path.as_mut()?)));
                given
                    .chain([("store.postgres.state", &mut postgres.state)])
                    .collect()
            }
        }
    }
}

impl PostgresSection {
    fn check(&self) -> Result<(), String> {
        let copies = self.hosts.len();
        if !(1..=9).contains(&copies) {
            return Err("store.postgres.hosts must name 1 to 9 copies".into());
        }
        for (name, host) in &self.hosts {
            address(host).map_err(|why| format!("store.postgres.hosts: {host}: {why}"))?;
            check_name(name).map_err(|why| format!("store.postgres.hosts: {why}"))?;
        }
        if self
            .durable_on
            .is_some_and(|on| on == 0 || on as usize > copies)
        {
            return Err(format!("store.postgres.durable_on must be 1 to {copies}"));
        }
        for (option, value) in [("database", &self.database), ("user", &self.user)] {
            // PostgreSQL cuts longer names.
            if !(1..=63).contains(&value.len()) || value.contains('\0') {
                return Err(format!("store.postgres.{option} must be 1 to 63 bytes"));
            }
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("store.postgres.certificate and store.postgres.key need each other".into());
        }
        let sockets = self.hosts.values().filter(|it| it.starts_with('/'));
        let is_reached_by_network = match sockets.count() {
            0 => true,
            sockets if sockets == copies => false,
            _ => return Err("store.postgres.hosts must be sockets or none".into()),
        };
        match (&self.ca, is_reached_by_network) {
            (None, true) => Err(
                "store.postgres.ca is required: passwords and rows would go in clear without TLS"
                    .into(),
            ),
            (Some(_), false) => Err("store.postgres.ca: a socket needs no TLS".into()),
            (None, false) if self.certificate.is_some() => {
                Err("store.postgres.certificate: a socket needs no TLS".into())
            }
            _ => Ok(()),
        }
    }

    /// More than half of the copies.
    fn majority(&self) -> u32 {
        // At most nine.
        u32::try_from(self.hosts.len() / 2 + 1).unwrap_or(u32::MAX)
    }

    /// Whether two primaries, cut off from each other, could both find enough copies.
    pub(super) fn may_have_two_primaries(&self) -> bool {
        self.hosts.len() > 1 && self.durable_on.is_some_and(|on| on < self.majority())
    }

    /// How to connect. Reads the password.
    ///
    /// # Errors
    /// [`ConfigError`] when the password cannot be read, is empty, or everybody may read it.
    pub fn connect(&self) -> Result<Connect, ConfigError> {
        let host = |(name, text): (&String, &String)| {
            // Checked when the configuration was read.
            let (host, port) = address(text).unwrap_or((text, PORT));
            Host {
                name: name.clone(),
                host: host.to_owned(),
                port,
            }
        };
        let password = self.password_file.as_ref();
        let password = password.map(|path| secret(path, "password"));
        Ok(Connect {
            hosts: self.hosts.iter().map(host).collect(),
            durable_on: self.durable_on.unwrap_or_else(|| self.majority()),
            database: self.database.clone(),
            user: self.user.clone(),
            password: password.transpose()?,
            tls: self.ca.as_ref().map(|ca| Tls {
                ca: ca.clone(),
                certificate: self.certificate.clone().zip(self.key.clone()),
            }),
        })
    }

    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.password_file, &self.ca, &self.certificate, &self.key];
        files.into_iter().filter_map(Option::as_deref)
    }
}

/// A copy of the database as the command line names it: `NAME=ADDRESS`.
///
/// # Errors
/// What is wrong with it.
pub fn named_host(text: &str) -> Result<Host, String> {
    let (name, text) = text.split_once('=').ok_or("must be NAME=HOST:PORT")?;
    check_name(name)?;
    let (host, port) = address(text)?;
    Ok(Host {
        name: name.to_owned(),
        host: host.to_owned(),
        port,
    })
}

/// As PostgreSQL takes it for `cluster_name` and `application_name`.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=63).contains(&name.len()) && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} must be 1 to 63 letters, digits, '-', '_' or '.'"
        )),
    }
}

/// Host and port of `host`, `host:port`, `[address]:port`, or the folder of a socket.
fn address(text: &str) -> Result<(&str, u16), &'static str> {
    let port = |text: &str| match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("the port must be 1 to 65535"),
    };
    // The name of a socket ends with its port.
    if text.starts_with('/') {
        return match text.rsplit_once(':') {
            Some((folder, number)) => Ok((folder, port(number)?)),
            None => Ok((text, PORT)),
        };
    }
    let (host, number) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a ] is missing")?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((_, number)) if number.contains(':') => {
                return Err("an IPv6 address stands in [ and ]");
            }
            Some((host, number)) => (host, Some(number)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.chars().any(char::is_whitespace) {
        return Err("must be host:port, or the folder of a socket");
    }
    Ok((host, number.map_or(Ok(PORT), port)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("db-a", "db-a", 5432),
            ("db-a:6000", "db-a", 6000),
            ("[2001:db8::1]:5433", "2001:db8::1", 5433),
            ("[2001:db8::1]", "2001:db8::1", 5432),
            ("/run/postgresql", "/run/postgresql", 5432),
            ("/run/postgresql:5433", "/run/postgresql", 5433),
        ] {
            assert_eq!(address(text), Ok((host, port)), "{text}");
        }
        for text in [
            "",
            ":5432",
            "db a",
            "db:0",
            "db:65536",
            "db:",
            "2001:db8::1",
            "[2001:db8::1",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
