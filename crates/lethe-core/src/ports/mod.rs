//! What the domain needs from the outside. Adapters implement these; one contract suite per port
//! (in `lethe-testkit`) runs on every adapter.

mod clock;
mod entropy;
mod hsm;
mod store;

pub use clock::Clock;
pub use entropy::{Entropy, EntropyError};
pub use hsm::{
    Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, LabelError, SealedSecret, SigningPurpose,
    VerificationKey,
};
pub use store::{BucketRow, KeyspaceRow, Store, StoreError, VersionRow};
