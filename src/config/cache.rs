use lethe_core::page_cache::CacheLimits;
use serde::Deserialize;

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// Most bytes of memory for inner pages of the forgetting trees.
    pub page_bytes: u64,
    /// Most bytes of memory for tails of the forgetting trees.
    pub tail_bytes: u64,
    /// Most bytes of memory for conversation keys.
    pub conversation_key_bytes: u64,
}

impl Default for CacheSection {
    fn default() -> Self {
        let CacheLimits {
            pages,
            tails,
            conversation_keys,
        } = CacheLimits::default();
        Self {
            page_bytes: pages,
            tail_bytes: tails,
            conversation_key_bytes: conversation_keys,
        }
    }
}

impl CacheSection {
    pub(super) fn check(&self) -> Result<(), String> {
        let possible = 1 << 20..=1 << 40;
        for (option, bytes) in [
            ("page_bytes", self.page_bytes),
            ("tail_bytes", self.tail_bytes),
            ("conversation_key_bytes", self.conversation_key_bytes),
        ] {
            if !possible.contains(&bytes) {
                return Err(format!("cache.{option} must be 1048576 to 1099511627776"));
            }
        }
        Ok(())
    }

    /// The limits for the cache.
    #[must_use]
    pub const fn limits(&self) -> CacheLimits {
        CacheLimits {
            pages: self.page_bytes,
            tails: self.tail_bytes,
            conversation_keys: self.conversation_key_bytes,
        }
    }
}
