//! The JSON of a receipt, and of an opening.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    lethe_fuzz::texts::receipt(text);
    lethe_fuzz::texts::opening(text);
});
