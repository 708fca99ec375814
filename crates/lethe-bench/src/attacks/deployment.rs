use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Settings;
use crate::clock;
use crate::cpu::Pid;
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};
use crate::peers::{Lethe, Method, ask, call, run_lethe};

/// Roles of development services and of our own clients.
pub(super) const MESSAGE_SERVER: &str = "message-server";
pub(super) const OPERATOR: &str = "operator";
/// A message server beside the good client, where an attack needs one.
pub(super) const OTHER_SERVER: &str = "other-server";
/// Has a certificate of the right authority and no grant.
pub(super) const STRANGER: &str = "stranger";
/// Where attackers come from: addresses of this machine, other than the good client's.
const SOURCES: u8 = 8;

/// A changed configuration is in force by then, on a busy machine too.
const RELOAD: Duration = Duration::from_secs(30);

/// A keyspace whose buckets expire each second.
pub(super) const BRIEF: &str = "bench-brief";

/// A development service that is attacked.
pub(super) struct Deployment {
    lethe: Lethe,
    path: PathBuf,
    /// Removed after the service has stopped: fields drop in this order.
    _folder: TempDir,
}

impl Deployment {
    /// Starts one below `work`.
    pub(super) async fn start(work: &Path, settings: Settings) -> Result<Self, BenchError> {
        let what = "the service's folder";
        let folder = tempfile::Builder::new()
            .prefix("lethe-attacks-")
            .tempdir_in(work)
            .map_err(BenchError::io(what))?;
        let path = folder.path().canonicalize().map_err(BenchError::io(what))?;
        let path = path.join("dev");
        let first = Lethe::start_with_log(&path)?;
        issue(&path, STRANGER)?;
        // Before the settings: a short time for requests would hit us too.
        set_keyspace(&first, BRIEF, "2s", "1s").await?;
        let lethe = if settings.options.is_empty() {
            first
        } else {
            drop(first);
            edit(&path, |text| settings.apply(text))?;
            Lethe::start_with_log(&path)?
        };
        Ok(Self {
            lethe,
            path,
            _folder: folder,
        })
    }

    /// Of the service.
    pub(super) fn pid(&self) -> Pid {
        self.lethe.server.pid
    }

    pub(super) fn lethe(&self) -> &Lethe {
        &self.lethe
    }

    /// The folder of `lethe dev`.
    pub(super) fn folder(&self) -> &Path {
        &self.path
    }

    /// A client that has its certificate in the folder.
    pub(super) fn client(&self, name: &str) -> Result<Endpoint, BenchError> {
        let identity = Identity::in_folder(&self.path.join("pki"), name);
        Endpoint::new(self.lethe.server.endpoint.address, &identity)
    }

    /// An attacker's connections spread over addresses.
    pub(super) fn source(number: usize) -> IpAddr {
        let last = 1 + (number % usize::from(SOURCES)) as u8;
        Ipv4Addr::new(127, 0, 66, last).into()
    }

    /// A keyspace with these spans.
    pub(super) async fn set_keyspace(
        &self,
        name: &str,
        retention: &str,
        granularity: &str,
    ) -> Result<(), BenchError> {
        set_keyspace(&self.lethe, name, retention, granularity).await
    }

    /// Makes a client's certificate, and grants it `keyspaces` as `role`. Takes effect at once: the
    /// service watches its configuration.
    pub(super) fn grant(&self, name: &str, role: &str, keyspaces: &str) -> Result<(), BenchError> {
        issue(&self.path, name)?;
        edit(&self.path, |text| text + &client(name, role, keyspaces))
    }

    /// Another message server, with every keyspace.
    pub(super) async fn grant_other_server(&self) -> Result<(), BenchError> {
        self.grant(OTHER_SERVER, MESSAGE_SERVER, "*")?;
        self.until_granted(OTHER_SERVER).await
    }

    /// Waits until the service knows a client that was granted something.
    pub(super) async fn until_granted(&self, name: &str) -> Result<(), BenchError> {
        self.until(name, |status| status != 403).await
    }

    /// Waits until the service knows a client no more.
    pub(super) async fn until_withdrawn(&self, name: &str) -> Result<(), BenchError> {
        self.until(name, |status| status == 403).await
    }

    async fn until(&self, name: &str, seen: fn(u16) -> bool) -> Result<(), BenchError> {
        let client = self.client(name)?;
        let deadline = clock::now() + RELOAD;
        while clock::now() < deadline {
            let answer = ask(&client, Method::Get, "/v1/keyspaces", "", &Value::Null).await?;
            if seen(answer.status) {
                return Ok(());
            }
            tokio::time::sleep(super::PAUSE).await;
        }
        let text = "the service does not read its configuration anew";
        Err(BenchError::Server(text.into()))
    }

    /// Takes the grant back.
    pub(super) fn withdraw(
        &self,
        name: &str,
        role: &str,
        keyspaces: &str,
    ) -> Result<(), BenchError> {
        edit(&self.path, |text| {
            text.replace(&client(name, role, keyspaces), "")
        })
    }

    /// Bytes of the audit log's lines.
    pub(super) fn audit_bytes(&self) -> Result<u64, BenchError> {
        let folder = self.path.join("audit");
        let mut bytes = 0;
        for entry in std::fs::read_dir(&folder).map_err(BenchError::io("the audit log"))? {
            let path = entry.map_err(BenchError::io("the audit log"))?.path();
            if path.extension().is_some_and(|it| it == "jsonl") {
                // Segments are filled with line ends before use.
                let content = std::fs::read(path).unwrap_or_default();
                bytes += content.iter().filter(|byte| **byte != b'\n').count() as u64;
            }
        }
        Ok(bytes)
    }
}

async fn set_keyspace(
    lethe: &Lethe,
    name: &str,
    retention: &str,
    granularity: &str,
) -> Result<(), BenchError> {
    let policy = json!({
        "retention": retention, "granularity": granularity, "rotation": "30d", "cache_ttl": "1s",
    });
    let path = format!("/v1/keyspaces/{name}");
    call(&lethe.operator, Method::Put, &path, "", &policy).await?;
    Ok(())
}

/// `LETHE pki issue` for a client of this name.
fn issue(folder: &Path, name: &str) -> Result<(), BenchError> {
    let pki = folder.join("pki");
    let status = run_lethe()?
        .args(["pki", "issue", "--spiffe-id", &spiffe_id(name), "--ca"])
        .arg(&pki)
        .arg("--out")
        .arg(pki.join(name))
        .stdout(Stdio::null())
        .status()
        .map_err(BenchError::io("lethe pki issue"))?;
    if status.success() {
        Ok(())
    } else {
        Err(BenchError::Server("lethe pki issue failed".into()))
    }
}

/// The id of a client.
pub(super) fn spiffe_id(name: &str) -> String {
    format!("spiffe://lethe.dev/{name}")
}

fn client(name: &str, role: &str, keyspaces: &str) -> String {
    let id = spiffe_id(name);
    format!(
        "\n[[access.client]]\nspiffe_id = \"{id}\"\nrole = \"{role}\"\nkeyspaces = [\"{keyspaces}\"]\n"
    )
}

/// Edits the configuration as a whole: the service may look at it at any time.
fn edit(folder: &Path, change: impl FnOnce(String) -> String) -> Result<(), BenchError> {
    let what = "the configuration";
    let (path, draft) = (folder.join("lethe.toml"), folder.join("lethe.toml.new"));
    let text = std::fs::read_to_string(&path).map_err(BenchError::io(what))?;
    std::fs::write(&draft, change(text)).map_err(BenchError::io(what))?;
    std::fs::rename(draft, path).map_err(BenchError::io(what))
}

impl Settings {
    fn apply(&self, mut text: String) -> String {
        for (section, options) in self.options {
            let head = format!("[{section}]\n");
            text = if text.contains(&head) {
                text.replace(&head, &format!("{head}{options}\n"))
            } else {
                format!("{text}\n{head}{options}\n")
            };
        }
        if self.required {
            text = text.replace("required = false", "required = true");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_into_their_section() {
        let settings = Settings {
            options: &[("server", "a = 1"), ("limits", "b = 2")],
            ..Settings::default()
        };
        let text = settings.apply("[server]\nx = 0\n".into());
        assert_eq!(text, "[server]\na = 1\nx = 0\n\n[limits]\nb = 2\n");
    }
}
