//! Chance for tests.

use std::time::Duration;

use aws_lc_rs::rand;

/// Below `end`, which is small.
pub fn below(end: usize) -> usize {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).unwrap();
    (u64::from_be_bytes(bytes) % end as u64) as usize
}

/// One of them.
pub fn one_of<T>(of: &[T]) -> &T {
    &of[below(of.len())]
}

/// A UUID.
pub fn id() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// Sleeps for up to so many milliseconds.
pub async fn pause(most: usize) {
    tokio::time::sleep(Duration::from_millis(below(most) as u64)).await;
}
