use std::fmt::Write;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lethe_core::ports::Clock;
use lethe_core::succession::PublishedKey;

use super::device::binary;
use crate::cli::Failure;
use crate::identity::SpiffeId;
use crate::node::clock::SystemClock;
use crate::node::verification_keys::published_text;
use crate::pki::{ensure_development, write_private, write_public};

const ROLES: [&str; 3] = ["message-server", "operator", "auditor"];

/// Refuses a folder that another `lethe dev` serves, or any service of its database.
pub(super) fn lock(dir: &Path) -> Result<File, Failure> {
    std::fs::create_dir_all(dir)?;
    let open = |name: &str| {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(dir.join(name))
    };
    let served = || Failure::new(format!("{} is served already", dir.display()));
    let lock = open("dev.lock")?;
    lock.try_lock().map_err(|_| served())?;
    // The lock of the database is released at once: the service takes it when it opens the database.
    open("lethe.db.lock")?.try_lock().map_err(|_| served())?;
    Ok(lock)
}

/// Makes what is missing of PKI and configuration.
pub(super) fn prepare(
    dir: &Path,
    listen: SocketAddr,
    ops_listen: SocketAddr,
) -> Result<(), Failure> {
    let clients = ROLES.map(|role| (role, spiffe_id(role)));
    let clients: Vec<(&str, SpiffeId)> = clients
        .into_iter()
        .map(|(role, id)| Ok((role, id?)))
        .collect::<Result<_, Failure>>()?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    if !listen.ip().is_unspecified() && !listen.ip().is_loopback() {
        names.push(listen.ip().to_string());
    }
    ensure_development(&dir.join("pki"), &names, &clients, SystemClock.now())?;
    let path = dir.join("lethe.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(present) => {
            let text = with_addresses(&present, listen, ops_listen);
            if text == present {
                return Ok(());
            }
            text
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => template(listen, ops_listen)?,
        Err(error) => return Err(error.into()),
    };
    Ok(write_private(&path, &text)?)
}

fn spiffe_id(role: &str) -> Result<SpiffeId, Failure> {
    Ok(format!("spiffe://lethe.dev/{role}").parse()?)
}

/// The text of the configuration with the addresses of the command line in `[server]`. All else stays.
fn with_addresses(text: &str, listen: SocketAddr, ops_listen: SocketAddr) -> String {
    let mut in_server = false;
    let line = |line: &str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        if name.starts_with('[') {
            in_server = name == "[server]";
        }
        match name {
            "listen" if in_server => format!("listen = \"{listen}\"\n"),
            "ops_listen" if in_server => format!("ops_listen = \"{ops_listen}\"\n"),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

fn template(listen: SocketAddr, ops_listen: SocketAddr) -> Result<String, Failure> {
    let module = binary("libhsm_sim_pkcs11.so")?;
    let module = module
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let mut text = format!(
        r#"# A development service. Every option is explained in config/lethe.toml of the source.

[server]
listen = "{listen}"
ops_listen = "{ops_listen}"
certificate = "pki/server.crt"
key = "pki/server.key"
client_ca = "pki/ca.crt"

[store]
sqlite = "lethe.db"

[hsm]
module = "{module}"
token = "lethe-dev"
pin_file = "hsm.pin"
environment = {{ HSM_SIM_SOCKET = "./hsm/hsm.sock" }}

[audit]
directory = "audit"

[approvals]
required = false

# A folder that was left alone for so long goes on by itself.
[clock]
max_gap = "30d"
"#
    );
    for role in ROLES {
        // Writing into a String does not fail.
        let _ = write!(
            text,
            "\n[[access.client]]\nspiffe_id = \"spiffe://lethe.dev/{role}\"\nrole = \"{role}\"\nkeyspaces = [\"*\"]\n"
        );
    }
    Ok(text)
}

/// `pki/verify.pub`: public keys of receipts and checkpoints.
pub(super) fn write_verification_keys(dir: &Path, keys: &[PublishedKey]) -> io::Result<()> {
    write_public(&dir.join("pki/verify.pub"), &published_text(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_sections_stay() {
        let (listen, ops) = ("0.0.0.0:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        let text = "[console]\nlisten = \"a\"\n[server]\nlisten = \"b\"\n ops_listen=\"c\"\n[x]\nlisten = 1\n";
        assert_eq!(
            with_addresses(text, listen, ops),
            "[console]\nlisten = \"a\"\n[server]\nlisten = \"0.0.0.0:1\"\n\
             ops_listen = \"[::1]:2\"\n[x]\nlisten = 1\n"
        );
    }
}
