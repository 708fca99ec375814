use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use lethe_core::ports::Clock;
use serde_json::json;

use super::Failure;
use super::output::Output;
use crate::identity::SpiffeId;
use crate::node::clock::SystemClock;
use crate::pki::{Authority, beside, revoke};

const DAY: u64 = 86_400;

/// `lethe pki`
#[derive(Subcommand)]
pub(super) enum Pki {
    /// Makes a CA: ca.crt and ca.key.
    Ca {
        /// Folder for both files. Refused if it has a CA already.
        #[arg(long)]
        out: PathBuf,
        /// Common name of the CA.
        #[arg(long, default_value = "Lethe CA")]
        name: String,
        /// How many days the CA is valid.
        #[arg(long, default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Makes a client or server certificate: PREFIX.crt and PREFIX.key.
    Issue {
        /// Folder of the CA.
        #[arg(long)]
        ca: PathBuf,
        /// Path of both files, without extension.
        #[arg(long)]
        out: PathBuf,
        /// Makes a client certificate with this SPIFFE id.
        #[arg(long, required_unless_present = "server", conflicts_with = "server")]
        spiffe_id: Option<SpiffeId>,
        /// Makes a server certificate for these host names and addresses.
        #[arg(long, num_args = 1..)]
        server: Vec<String>,
        /// How many days the certificate is valid.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Writes the CA's revocation list, ca.crl: what it listed before, and these certificates.
    Revoke {
        /// Folder of the CA.
        #[arg(long)]
        ca: PathBuf,
        /// Certificates to be refused. Without one the list is issued again as it is.
        certificates: Vec<PathBuf>,
        /// How many days the list is valid. A newer list has to follow before its end.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}

impl Pki {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let now = SystemClock.now();
        let life = |days: u32| Duration::from_secs(u64::from(days) * DAY);
        let made = match self {
            Self::Ca { out, name, days } => {
                std::fs::create_dir_all(&out)?;
                if out.join("ca.crt").exists() || out.join("ca.key").exists() {
                    let text = format!("{} holds a CA already", out.display());
                    return Err(std::io::Error::other(text).into());
                }
                Authority::create(&out, &name, now, life(days))?;
                out.join("ca")
            }
            Self::Issue {
                ca,
                out,
                spiffe_id,
                server,
                days,
            } => {
                let authority = Authority::open(&ca)?;
                match spiffe_id {
                    Some(id) => authority.issue_client(&out, &id, now, life(days))?,
                    None => authority.issue_server(&out, &server, now, life(days))?,
                }
                out
            }
            Self::Revoke {
                ca,
                certificates,
                days,
            } => {
                let list = revoke(&ca, &certificates, now, life(days))?;
                let shown = json!({ "revocation_list": list });
                return output.print(&shown, || list.display().to_string());
            }
        };
        let (certificate, key) = (beside(&made, "crt"), beside(&made, "key"));
        let shown = json!({ "certificate": certificate, "key": key });
        output.print(&shown, || {
            format!("{}\n{}", certificate.display(), key.display())
        })
    }
}
