//! The grid: a wrapped key opens only where a live row (the conversation key, a leaf of the forgetting
//! tree) crosses a live column (the bucket key, one for each expiry time).
//!
//! `docs/design.md#grid`; byte layouts in `docs/FORMATS.md`.

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::conversation::ConversationId;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, Policy, Retention};
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};

/// Counts a conversation's shreds inside one key version, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u16);

impl Generation {
    /// Before the first shred.
    pub const FIRST: Self = Self(0);

    /// From its number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The bucket of a key issued now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Until when the data key may encrypt.
    pub use_until: Timestamp,
    /// When the data key expires.
    pub expiry: Expiry,
}

/// Places a key issued at `now`: `use_until` is the next border of the granularity, or the one
/// after when less than `min(5 s, granularity / 60)` remains; expiry is `retention` later, one of the
/// policy's.
#[must_use]
pub fn place(policy: &Policy, retention: Retention, now: Timestamp) -> Placement {
    let granularity = policy.granularity_seconds().saturating_mul(1_000);
    let margin = (granularity / 60).min(5_000);
    let next = (now.as_millis() / granularity)
        .saturating_add(1)
        .saturating_mul(granularity);
    let border = if next - now.as_millis() < margin {
        next.saturating_add(granularity)
    } else {
        next
    };
    Placement {
        use_until: Timestamp::from_millis(border),
        expiry: Expiry::from_seconds((border / 1_000).saturating_add(retention.as_seconds())),
    }
}

/// The longest retention whose keys may lie in the bucket of this expiry; none where a policy puts
/// no keys there.
#[must_use]
pub fn longest_retention(policy: &Policy, expiry: Expiry) -> Option<Retention> {
    let granularity = policy.granularity_seconds();
    let border =
        |it: &Retention| expiry.as_seconds() % granularity == it.as_seconds() % granularity;
    // The list is ascending.
    policy.retentions().filter(border).last()
}

/// When the first key of a bucket may have been issued, if a policy puts keys there.
#[must_use]
pub fn first_issue(policy: &Policy, expiry: Expiry) -> Option<Timestamp> {
    let granularity = policy.granularity_seconds().saturating_mul(1_000);
    let longest = longest_retention(policy, expiry)?
        .as_seconds()
        .saturating_mul(1_000)
        .saturating_add(granularity)
        .saturating_add((granularity / 60).min(5_000));
    let first = expiry.instant().as_millis().saturating_sub(longest);
    Some(Timestamp::from_millis(first))
}

/// The values that a wrapping key is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The keyspace's id, which never changes.
    pub keyspace: KeyspaceId,
    /// The key version that issued it.
    pub version: KeyVersion,
    /// The conversation that the key is for.
    pub conversation: &'a ConversationId,
    /// The conversation's generation in that version.
    pub generation: Generation,
    /// The bucket.
    pub expiry: Expiry,
}

/// `HKDF-SHA-256(salt = none, ikm = conversation key || bucket key, info)` (RFC 5869), 32 bytes,
/// where info is `lethe/v1/wrap` and each field of the binding behind its length (`u16`,
/// big-endian).
///
/// # Panics
/// Never: HKDF refuses only outputs over 8,160 bytes.
#[must_use]
pub fn wrapping_key(
    conversation_key: &Secret32,
    bucket_key: &Secret32,
    binding: &Binding<'_>,
) -> Secret32 {
    let mut input = Zeroizing::new([0; 64]);
    input[..32].copy_from_slice(conversation_key.expose());
    input[32..].copy_from_slice(bucket_key.expose());
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&*input);
    let info = wrap_info(binding);
    Secret32::filled(|key| {
        pseudorandom
            .expand(&[&info], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(key))
            .expect("32 bytes are within HKDF's limit");
    })
}

fn wrap_info(binding: &Binding<'_>) -> Vec<u8> {
    let fields: [&[u8]; 5] = [
        binding.keyspace.as_bytes(),
        &binding.version.number().to_be_bytes(),
        binding.conversation.as_bytes(),
        &binding.generation.number().to_be_bytes(),
        &binding.expiry.as_seconds().to_be_bytes(),
    ];
    let mut info = Vec::with_capacity(64 + binding.conversation.as_bytes().len());
    info.extend_from_slice(b"lethe/v1/wrap");
    for field in fields {
        // Longest is a conversation id, 256 bytes.
        info.extend_from_slice(&(field.len() as u16).to_be_bytes());
        info.extend_from_slice(field);
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buckets::required;
    use crate::duration::Span;

    fn policy(retention: u64, granularity: u64) -> Policy {
        let day = Span::from_seconds(86_400);
        Policy::new(
            Span::from_seconds(retention),
            Span::from_seconds(granularity),
            day,
            day,
        )
        .unwrap()
    }

    fn placed(policy: &Policy, millis: u64) -> (u64, u64) {
        let placement = place(policy, policy.retention(), Timestamp::from_millis(millis));
        (
            placement.use_until.as_millis(),
            placement.expiry.as_seconds(),
        )
    }

    #[test]
    fn borders_are_aligned_to_the_epoch() {
        let hourly = policy(259_200, 3_600);
        assert_eq!(placed(&hourly, 0), (3_600_000, 262_800));
        assert_eq!(placed(&hourly, 3_600_000), (7_200_000, 266_400));
    }

    #[test]
    fn too_close_to_the_border_takes_the_next() {
        let hourly = policy(259_200, 3_600);
        assert_eq!(
            placed(&hourly, 3_595_000).0,
            3_600_000,
            "exactly five seconds are enough"
        );
        assert_eq!(placed(&hourly, 3_595_001).0, 7_200_000);
        let short = policy(6, 1);
        assert_eq!(
            placed(&short, 984).0,
            1_000,
            "a sixtieth of a second is 16 ms"
        );
        assert_eq!(placed(&short, 985).0, 2_000);
    }

    proptest::proptest! {
        #[test]
        fn every_message_lives_its_retention_and_no_longer_than_promised(
            longest in 2_u64..10_000, share in 1_u64..100, shorter in 1_u64..10_000, now in 0_u64..4_000_000_000_000,
        ) {
            let granularity = (longest / share).max(1);
            let shorter = shorter.clamp(granularity, (longest - 1).max(granularity));
            let offered = policy(longest, granularity).with_shorter_retentions(&[Span::from_seconds(shorter)]);
            let policy = offered.unwrap_or(policy(longest, granularity));
            for chosen in policy.retentions() {
            let retention = chosen.as_seconds();
            let placement = place(&policy, chosen, Timestamp::from_millis(now));
            let (use_until, expiry) = (placement.use_until.as_millis(), placement.expiry.instant().as_millis());
            let margin = (granularity * 1_000 / 60).min(5_000);
            proptest::prop_assert!(use_until > now && use_until - now >= margin);
            proptest::prop_assert_eq!(expiry, use_until + retention * 1_000);
            proptest::prop_assert!(expiry - now <= (retention + granularity) * 1_000 + margin);
            let longest = longest_retention(&policy, placement.expiry).unwrap();
            proptest::prop_assert!(longest >= chosen);
            let earlier = (longest.as_seconds() - retention) * 1_000;
            let first = first_issue(&policy, placement.expiry).unwrap().as_millis();
            let early = now.saturating_sub(earlier);
            proptest::prop_assert!(first <= early && early.saturating_sub(first) <= granularity * 1_000 + margin);
            proptest::prop_assert!(required(&policy, Timestamp::from_millis(now)).contains(&placement.expiry));
            }
        }
    }
}
