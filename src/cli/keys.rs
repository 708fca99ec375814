use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use clap::{Args, Subcommand};
use lethe_core::ports::VerificationKey;
use serde_json::json;

use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};
use crate::pki::write_public;
use crate::verification_keys::{purpose_of, to_text};

/// `lethe keys`
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Prints the public keys that check receipts and checkpoints.
    Export(Export),
}

/// `lethe keys export`
#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    remote: Remote,
    /// Writes them to this file instead.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Keys {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let Self::Export(export) = self;
        let keys = block_on(async { Ok(export.remote.client()?.verification_keys().await?) })?;
        // What the service says is read as strictly as a file would be, before anyone relies on it.
        let read: Vec<_> = keys.iter().map(read).collect::<Result<_, _>>()?;
        let text = match output {
            Output::Text => to_text(&read),
            Output::Json => format!("{}\n", json!({ "keys": keys })),
        };
        match export.out {
            Some(path) => write_public(&path, &text)?,
            None => print!("{text}"),
        }
        Ok(())
    }
}

fn read(key: &lethe_client::VerificationKey) -> Result<VerificationKey, Failure> {
    let public_key = Base64::decode_vec(&key.public_key).ok();
    let public_key = public_key.and_then(|bytes| bytes.try_into().ok());
    let read = || {
        Some(VerificationKey {
            id: key.id.parse().ok()?,
            purpose: purpose_of(&key.purpose)?,
            public_key: public_key.filter(|_| key.algorithm == "Ed25519")?,
        })
    };
    read().ok_or_else(|| Failure::new("the service told a verification key that is none"))
}
