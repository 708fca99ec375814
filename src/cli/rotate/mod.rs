mod hsm;

use clap::Subcommand;
use lethe_client::KeyspaceName;

use super::keyspace::fields;
use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe rotate`
#[derive(Subcommand)]
pub(super) enum Rotate {
    /// Makes a new key version, to which new keys belong from now on.
    Keyspace {
        /// Name of the keyspace.
        name: KeyspaceName,
        #[command(flatten)]
        remote: Remote,
    },
    /// Makes a new root in the HSM, now. Earlier copies of the database do not open any more.
    Root {
        #[command(flatten)]
        remote: Remote,
    },
    /// Moves everything to another HSM while the service runs.
    Hsm(hsm::Hsm),
}

impl Rotate {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        block_on(async {
            let shown = match self {
                Self::Hsm(hsm) => return hsm.run(output).await,
                Self::Keyspace { name, remote } => {
                    serde_json::to_value(remote.client()?.rotate_keyspace(&name).await?)?
                }
                Self::Root { remote } => remote.client()?.rotate_root().await?,
            };
            output.print(&shown, || fields(&shown))
        })
    }
}
