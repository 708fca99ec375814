use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use base64ct::{Base64, Encoding};
use lethe_core::ports::{Clock, SigningPurpose, Store};

use super::device::binary;
use crate::access::SpiffeId;
use crate::app::{App, AppError};
use crate::cli::Failure;
use crate::clock::SystemClock;
use crate::pki::{ensure_development, write_private, write_public};

const ROLES: [&str; 3] = ["message-server", "operator", "auditor"];

/// PKI and configuration: makes what is missing.
pub(super) fn prepare(
    dir: &Path,
    listen: SocketAddr,
    ops_listen: SocketAddr,
) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)?;
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
        Ok(present) => with_addresses(&present, listen, ops_listen),
        Err(error) if error.kind() == io::ErrorKind::NotFound => template(listen, ops_listen)?,
        Err(error) => return Err(error.into()),
    };
    Ok(write_private(&path, &text)?)
}

fn spiffe_id(role: &str) -> Result<SpiffeId, Failure> {
    Ok(format!("spiffe://lethe.dev/{role}").parse()?)
}

/// The file keeps what was edited; the addresses are those of the command line.
fn with_addresses(text: &str, listen: SocketAddr, ops_listen: SocketAddr) -> String {
    let line = |line: &str| {
        let name = line.split('=').next().map(str::trim);
        match name {
            Some("listen") => format!("listen = \"{listen}\"\n"),
            Some("ops_listen") => format!("ops_listen = \"{ops_listen}\"\n"),
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

/// `pki/verify.pub`: public keys of receipts and checkpoints, PEM (RFC 8410), each behind a
/// comment that names purpose and key id.
pub(super) async fn write_verification_keys(dir: &Path, app: &App) -> Result<(), AppError> {
    let Some(deployment) = app.store().deployment().await? else {
        return Ok(());
    };
    let mut keys = app.hsm().verification_keys(deployment).await?;
    keys.sort_by_key(|key| (key.purpose, key.id));
    let mut text = String::new();
    for key in keys {
        let purpose = match key.purpose {
            SigningPurpose::Receipt => "receipt",
            SigningPurpose::Checkpoint => "checkpoint",
        };
        let spki = [ED25519_SPKI.as_slice(), &key.public_key].concat();
        let _ = write!(
            text,
            "# {purpose} {}\n-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            key.id,
            Base64::encode_string(&spki)
        );
    }
    Ok(write_public(&dir.join("pki/verify.pub"), &text)?)
}

/// DER in front of an Ed25519 public key: SubjectPublicKeyInfo, RFC 8410 section 4.
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
