//! Public keys as text: what is read is written so that it reads as the same.
#![no_main]

use lethe_fuzz::verification_keys::{VerificationKeys, published_text};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(keys) = text.parse::<VerificationKeys>() else {
        return;
    };
    let again = published_text(&keys.published());
    assert_eq!(again.parse(), Ok(keys));
});
