//! What the domain needs from the outside. Adapters implement these; one contract suite per port
//! (in `lethe-testkit`) runs on every adapter.

mod approvals;
mod audit;
mod clock;
mod entropy;
mod hsm;
mod key_uses;
mod store;

pub use approvals::{ApprovalStore, Capacity, Effect, Enqueued};
pub use audit::{AuditError, AuditSink};
pub use clock::{BootId, Clock};
pub use entropy::{Entropy, EntropyError};
pub use hsm::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, LabelError, SealedSecret,
    SigningPurpose, VerificationKey,
};
pub use key_uses::{KeyUse, KeyUseStore, Uses};
pub use store::{
    BatchCommit, BatchRow, BatchStore, BucketRow, BucketStore, ClockStore, DeploymentStore,
    Durability, ErasureStore, ExpiryRow, Fulfilled, HsmMove, HsmMoveStore, KeyspaceChange,
    KeyspaceRow, KeyspaceStore, MetaRow, ReceiptStore, RootShare, Seat, SignedDestruction, Store,
    StoreError, Strength, TreeChange, TreeStore, VersionRow,
};
