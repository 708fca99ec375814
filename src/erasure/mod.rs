//! Requests to forget, from the caller to the receipt.
//!
//! ```text
//! http/shreds -> Acceptor (rows, many in one transaction) -> Ledger -> leader/keeper (batches)
//!                                                               ^                |
//!             <------------------ receipts ---------------------+----------------+
//! ```

mod acceptor;
mod group;
mod ledger;
mod lives;
mod new_request;
mod repeated;
mod wanted;

pub use acceptor::{Acceptor, AcceptorHandle};
pub use ledger::{Backlog, Ledger};
pub use repeated::is_same;
pub use wanted::{Admitted, NotAccepted, Wanted};
