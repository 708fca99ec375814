use std::cell::RefCell;

use hyper::header::HeaderValue;
use lethe_core::ports::Entropy;

/// Value of `x-request-id`. It is random: it shows no client how many requests others make, and does not
/// repeat after a restart.
#[derive(Clone, Copy)]
pub(super) struct RequestId([u8; RequestId::DIGITS]);

/// A stock of random bytes for one thread.
struct Random {
    bytes: [u8; RequestId::BYTES * 64],
    left: usize,
}

thread_local! {
    static RANDOM: RefCell<Random> = const {
        RefCell::new(Random { bytes: [0; RequestId::BYTES * 64], left: 0 })
    };
}

impl RequestId {
    const BYTES: usize = 12;
    const DIGITS: usize = 2 * Self::BYTES;

    pub(super) fn new(entropy: &impl Entropy) -> Self {
        RANDOM.with_borrow_mut(|random| {
            if random.left == 0 {
                // Without randomness ids repeat. No data key is issued then either.
                let _ = entropy.fill(&mut random.bytes);
                random.left = random.bytes.len();
            }
            random.left -= Self::BYTES;
            Self::from_bytes(&random.bytes[random.left..][..Self::BYTES])
        })
    }

    /// Writes bytes as lower-case hexadecimal digits.
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut text = [0; Self::DIGITS];
        for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
            digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::RequestId;
    use crate::node::entropy::SystemEntropy;

    #[test]
    fn ids_are_all_different_and_in_no_order() {
        let ids: Vec<_> = (0..1_000).map(|_| RequestId::new(&SystemEntropy)).collect();
        let texts: Vec<&str> = ids.iter().map(RequestId::as_str).collect();
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        assert!(!texts.is_sorted());
        assert_eq!(ids[0].header(), texts[0]);
        assert_eq!(
            RequestId::from_bytes(b"\x01\xef0123456789").as_str(),
            "01ef30313233343536373839"
        );
    }
}
