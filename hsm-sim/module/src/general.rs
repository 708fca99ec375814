//! Start, stop and self-description.

use std::io::Write;

use cryptoki_sys::*;

use crate::endpoint::Endpoint;
use crate::slot::padded;
use crate::state;

/// `C_Initialize`, with the reserved string if the caller gave one.
pub fn initialise(reserved: Option<&str>) -> Result<(), CK_RV> {
    let argument = reserved.and_then(|text| text.strip_prefix("socket="));
    let daemon = Endpoint::find(argument, |name| std::env::var_os(name)).map_err(|error| {
        // PKCS#11 has no words for it, and the caller's log is not ours. Without standard error
        // the code has to do.
        let _ = writeln!(std::io::stderr(), "hsm-sim-pkcs11: {error}");
        CKR_FUNCTION_FAILED
    })?;
    state::initialise(daemon)
}

/// `C_GetInfo`
pub fn info() -> Result<CK_INFO, CK_RV> {
    state::with(|_| CK_INFO {
        cryptokiVersion: CK_VERSION {
            major: 2,
            minor: 40,
        },
        manufacturerID: padded("Lethe"),
        flags: 0,
        libraryDescription: padded("HSM simulator"),
        libraryVersion: CK_VERSION { major: 0, minor: 1 },
    })
}
