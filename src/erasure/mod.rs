//! Erasures, from the caller to the receipt.
//!
//! ```text
//! http/shreds -> Acceptor (rows, many in one transaction) -> PendingErasures -> leader/keeper (batches)
//!                                                               ^                |
//!             <------------------ receipts ---------------------+----------------+
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
