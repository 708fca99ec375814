//! What the command line does with files that somebody else laid there, and with what a server says.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::deployment::{Deployment, OPERATOR};
use super::{Attack, Gained};
use crate::error::BenchError;
use crate::identity::Identity;
use crate::peers::run_lethe;

/// A name where receipts are to be written leads elsewhere, or to a file that all may read.
pub(super) struct ReceiptsLink;

const PRECIOUS: &str = "precious\n";

#[async_trait]
impl Attack for ReceiptsLink {
    fn name(&self) -> &'static str {
        "receipts-link"
    }

    fn what(&self) -> &'static str {
        "somebody puts a link, or a file that all may read and write, where `lethe shred --receipts` writes receipts with their openings"
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let precious = target.folder().with_file_name("precious");
        write(&precious, PRECIOUS)?;
        let mut gained = Gained::default();
        let mut open = Vec::new();
        // The name itself, and the one that the file has while it is written.
        for (number, suffix) in ["", ".part"].into_iter().enumerate() {
            let [link, all] = ["link", "open"].map(|it| format!("{it}-{number}"));
            let beside = |name: &str| target.folder().with_file_name(name);
            symlink(&precious, beside(&(link.clone() + suffix))).map_err(BenchError::io(FILES))?;
            write(&beside(&(all.clone() + suffix)), "")?;
            let mode = std::fs::Permissions::from_mode(0o666);
            std::fs::set_permissions(beside(&(all.clone() + suffix)), mode)
                .map_err(BenchError::io(FILES))?;
            for receipts in [beside(&link), beside(&all)] {
                let done = shred(target.folder(), &receipts).await?;
                gained.count(if done {
                    "commands done"
                } else {
                    "commands refused"
                });
            }
            open.extend([beside(&all), beside(&(all + ".part"))]);
        }
        if std::fs::read_to_string(&precious).unwrap_or_default() != PRECIOUS {
            gained.reached.push("a file written through a link".into());
        }
        let readable = |path: &PathBuf| {
            let written = std::fs::metadata(path);
            written.is_ok_and(|it| it.len() > 0 && it.permissions().mode() & 0o077 != 0)
        };
        if open.iter().any(readable) {
            gained.reached.push("openings that all may read".into());
        }
        Ok(gained)
    }
}

const FILES: &str = "the attacker's files";

fn write(path: &Path, content: &str) -> Result<(), BenchError> {
    std::fs::write(path, content).map_err(BenchError::io(FILES))
}

async fn shred(folder: &Path, receipts: &Path) -> Result<bool, BenchError> {
    let mut command = tokio::process::Command::from(run_lethe()?);
    command.args(["shred", "chat", "room", "--dir"]).arg(folder);
    let output = command.arg("--receipts").arg(receipts).output().await;
    Ok(output
        .map_err(BenchError::io("lethe shred"))?
        .status
        .success())
}

/// A server's words move the cursor of the terminal that shows them.
pub(super) struct EscapeSequences;

const PROBLEM: &str = r#"{"type":"about:blank","title":"\u001b[31mno","status":403,"code":"forbidden","detail":"\u001b[2J\u001b]0;title\u0007 \u009b1A"}"#;

#[async_trait]
impl Attack for EscapeSequences {
    fn name(&self) -> &'static str {
        "escape-sequences"
    }

    fn what(&self) -> &'static str {
        "a server answers the command line with control sequences for the operator's terminal"
    }

    async fn run(&self, target: &Deployment, _end: Instant) -> Result<Gained, BenchError> {
        let pki = target.folder().join("pki");
        let what = "the attacker's server";
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(BenchError::io(what))?;
        let address = listener.local_addr().map_err(BenchError::io(what))?;
        let acceptor = acceptor(&pki)?;
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Who does not come through is of no use to it.
                let _ = answer(&acceptor, socket).await;
            }
        });
        let mut gained = Gained::default();
        for words in [&["status"][..], &["keyspace", "list"], &["approve"]] {
            let mut command = tokio::process::Command::from(run_lethe()?);
            command
                .args(words)
                .args(["--server", &format!("https://{address}")]);
            for (option, file) in files(&pki) {
                command.arg(option).arg(file);
            }
            let output = command.output().await.map_err(BenchError::io("lethe"))?;
            gained.count("commands");
            let shown = [output.stdout, output.stderr].concat();
            let shown = String::from_utf8_lossy(&shown);
            if !shown.contains("forbidden") && !shown.contains("title") {
                let text = format!("lethe {}: {shown}", words.join(" "));
                return Err(BenchError::WrongAnswer(text));
            }
            if shown.chars().any(|it| it.is_control() && it != '\n') {
                gained
                    .reached
                    .push(format!("control characters from lethe {}", words.join(" ")));
            }
        }
        server.abort();
        Ok(gained)
    }
}

fn files(pki: &Path) -> [(&'static str, PathBuf); 3] {
    let own = Identity::in_folder(pki, OPERATOR);
    [
        ("--ca", own.authority),
        ("--cert", own.certificate),
        ("--key", own.key),
    ]
}

/// With the service's own certificate: the worst server is one that was broken into.
fn acceptor(pki: &Path) -> Result<TlsAcceptor, BenchError> {
    let identity = Identity::in_folder(pki, "server");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(BenchError::tls)?
        .with_no_client_auth()
        .with_single_cert(identity.chain()?, identity.private_key()?)
        .map_err(BenchError::tls)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn answer(acceptor: &TlsAcceptor, socket: tokio::net::TcpStream) -> std::io::Result<()> {
    let mut stream = acceptor.accept(socket).await?;
    let mut request = [0; 4_096];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{PROBLEM}",
        PROBLEM.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
