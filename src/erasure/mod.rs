//! Erasures: shreds, erases of keyspaces and drops of key versions, from the call to the receipt.
//!
//! ```text
//! ErasureRequest -> ErasureDraft -> PermittedErasure -> AcceptedErasure -> Receipt
//!  what a caller     decided, with    a permission       on the disk, with   its batch
//!  asks for          its keys         covers it          its number          is done
//! ```
//!
//! ```text
//! http/shreds -> Acceptor (many erasures in one transaction) -> PendingErasures -> leader/keeper
//!     ^                                                          |         ^           |
//!     +------------------------ receipts ------------------------+         +- batches -+
//! ```

mod accept_batch;
mod acceptor;
mod checks;
mod draft;
mod pending;
mod repeated;
mod request;

pub use acceptor::{Acceptor, AcceptorHandle};
pub use pending::{Backlog, PendingErasures};
pub use repeated::is_same;
pub use request::{AcceptError, ErasureAnswer, ErasureRequest};
