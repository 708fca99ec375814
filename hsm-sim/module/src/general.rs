//! Start, stop and self-description.

use std::path::PathBuf;

use cryptoki_sys::*;

use crate::slot::padded;
use crate::state;

/// Names the socket in the environment.
const VARIABLE: &str = "HSM_SIM_SOCKET";

/// `C_Initialize`, with the reserved string if the caller gave one.
pub fn initialise(reserved: Option<&str>) -> Result<(), CK_RV> {
    let argument = reserved.and_then(|text| text.strip_prefix("socket="));
    let socket = std::env::var_os(VARIABLE)
        .map(PathBuf::from)
        .or_else(|| argument.map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("./hsm.sock"));
    state::initialise(socket)
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
