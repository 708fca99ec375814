//! Certificates for development and small set-ups.

mod authority;
mod check;
mod development;
mod files;
mod revocation;

pub use authority::{Authority, PkiError};
pub use development::ensure_development;
pub use files::{
    beside, create_draft, ensure_replaceable, put_in_place, write_private, write_public,
};
pub use revocation::revoke;
