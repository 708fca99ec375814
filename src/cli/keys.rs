use std::io::Write;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use clap::{Args, Subcommand};
use lethe_core::ports::{SigningPurpose, VerificationKey};
use lethe_core::succession::{self, PublishedKey, Succession};
use serde_json::json;

use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};
use crate::config::read as read_file;
use crate::node::verification_keys::{VerificationKeys, published_text, purpose_of};
use crate::pki::write_public;

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
    /// Keys that you trust already, from an earlier export. Refuses any key that is neither among them
    /// nor endorsed by one of them.
    #[arg(long, value_name = "FILE")]
    trusted: Option<PathBuf>,
    /// Writes the keys to this file instead.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Keys {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let Self::Export(export) = self;
        let keys = block_on(async { Ok(export.remote.client()?.verification_keys().await?) })?;
        // The service's answer is read as strictly as a file, before anyone relies on it.
        let read: Vec<_> = keys.iter().map(read).collect::<Result<_, _>>()?;
        succession::check(&read)?;
        check_use(&read)?;
        if let Some(file) = &export.trusted {
            check_trusted(file, &read)?;
        }
        let text = match output {
            Output::Text => published_text(&read),
            Output::Json => format!("{}\n", json!({ "keys": keys })),
        };
        match export.out {
            Some(path) => write_public(&path, &text)?,
            None => std::io::stdout().write_all(text.as_bytes())?,
        }
        Ok(())
    }
}

fn read(key: &lethe_client::VerificationKey) -> Result<PublishedKey, Failure> {
    let public_key = Base64::decode_vec(&key.public_key).ok();
    let public_key = public_key.and_then(|bytes| bytes.try_into().ok());
    let succession = match (&key.succeeds, &key.endorsement) {
        (Some(predecessor), Some(endorsement)) => succession(predecessor, endorsement).map(Some),
        (None, None) => Some(None),
        _ => None,
    };
    let read = || {
        let succession = succession?;
        let key = VerificationKey {
            id: key.id.parse().ok()?,
            purpose: purpose_of(&key.purpose)?,
            public_key: public_key.filter(|_| key.algorithm == "Ed25519")?,
        };
        Some(PublishedKey { key, succession })
    };
    read().ok_or_else(|| Failure::new("the service published a verification key that is none"))
}

fn succession(predecessor: &str, endorsement: &str) -> Option<Succession> {
    Some(Succession {
        predecessor: predecessor.parse().ok()?,
        endorsement: Base64::decode_vec(endorsement).ok()?.try_into().ok()?,
    })
}

/// Refuses keys of which none checks receipts.
fn check_use(keys: &[PublishedKey]) -> Result<(), Failure> {
    let of_receipts = |it: &PublishedKey| it.key.purpose == SigningPurpose::Receipt;
    match keys.iter().any(of_receipts) {
        true => Ok(()),
        false => Err(Failure::new("the service publishes no key of receipts")),
    }
}

/// Checks that the chain of endorsements begins at a trusted key, and that no trusted key has another
/// successor than before. The endorsements themselves are verified already.
fn check_trusted(file: &Path, keys: &[PublishedKey]) -> Result<(), Failure> {
    let trusted: VerificationKeys = read_file(file)?
        .parse()
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    let mut known = trusted.published();
    for published in keys {
        if known.iter().any(|it| it.key == published.key) {
            continue;
        }
        let endorsed = published
            .succession
            .is_some_and(|succession| known.iter().any(|it| it.key.id == succession.predecessor));
        if !endorsed || known.iter().any(|it| it.key.id == published.key.id) {
            let why = format!(
                "key {} is not endorsed by a key that is trusted",
                published.key.id
            );
            return Err(Failure::new(why));
        }
        known.push(published.clone());
    }
    Ok(succession::check(&known)?)
}

#[cfg(test)]
mod tests {
    use lethe_core::identity::HsmKeyId;

    use super::*;

    #[test]
    fn an_export_that_checks_no_receipt_is_refused() {
        let key = |purpose| {
            PublishedKey::from(VerificationKey {
                id: HsmKeyId::from_bytes([1; 16]),
                purpose,
                public_key: [1; 32],
            })
        };
        let (receipt, checkpoint) = (
            key(SigningPurpose::Receipt),
            key(SigningPurpose::Checkpoint),
        );
        assert!(check_use(&[]).is_err());
        assert!(check_use(std::slice::from_ref(&checkpoint)).is_err());
        assert!(check_use(&[checkpoint, receipt]).is_ok());
    }
}
