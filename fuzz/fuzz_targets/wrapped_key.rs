//! The text of a wrapped key.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    lethe_fuzz::texts::wrapped_key(text);
});
