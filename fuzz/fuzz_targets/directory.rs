//! The clear bytes of a directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|clear: &[u8]| {
    lethe_fuzz::texts::directory(clear);
});
