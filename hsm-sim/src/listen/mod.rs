//! Where the daemon can be reached; a thread per connection.

pub(crate) mod tls;
pub(crate) mod unix;
