//! The body of a frame between module and daemon: what is read is written so that it reads as the
//! same. Not byte for byte, because postcard takes numbers with idle zeros.
#![no_main]

use lethe_fuzz::wire::{Request, Response, receive, send};
use serde::{Serialize, de::DeserializeOwned};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // As it comes, length and all; then with the right length.
    let framed = [&(data.len() as u32).to_be_bytes(), data].concat();
    for frame in [data, &framed] {
        check::<Request>(frame);
        check::<Response>(frame);
    }
});

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(mut frame: &[u8]) {
    let Ok(message) = receive::<T>(&mut frame) else {
        return;
    };
    let mut again = Vec::new();
    send(&mut again, &message).expect("no longer than it came");
    assert_eq!(
        receive::<T>(&mut again.as_slice()).expect("a frame"),
        message
    );
}
