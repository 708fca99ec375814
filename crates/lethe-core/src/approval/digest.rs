//! The digest of a list of conversations. Both operators can compute it from the list, and nobody can compute
//! it from the store.

use aws_lc_rs::hmac;

use crate::conversation::ConversationId;
use crate::keyspace::KeyspaceName;

/// The key of the digest of one approval. It is in no row: the service derives it from an address key and
/// shows it with the approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `HMAC-SHA-256(key, "lethe/v1/approval-digest" || len(keyspace) as u16 || keyspace ||
    /// len(conversation) as u16 || conversation || ..)`: each pair of keyspace name and conversation once,
    /// in the order of these bytes, integers big-endian.
    #[must_use]
    pub fn digest<'a>(
        &self,
        list: impl IntoIterator<Item = (&'a KeyspaceName, &'a ConversationId)>,
    ) -> [u8; 32] {
        let with_length = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let pair = |(keyspace, conversation): (&KeyspaceName, &ConversationId)| {
            let keyspace = with_length(keyspace.as_str().as_bytes());
            [keyspace, with_length(conversation.as_bytes())].concat()
        };
        let mut pairs: Vec<Vec<u8>> = list.into_iter().map(pair).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(b"lethe/v1/approval-digest");
        for pair in &pairs {
            context.update(pair);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_list_does_not_matter() {
        let keyspace: KeyspaceName = "chat".parse().unwrap();
        let other: KeyspaceName = "mail".parse().unwrap();
        let ids = ["room-1", "room-2", "b"].map(|id| ConversationId::try_from(id).unwrap());
        let digest = |key, list: &[(&KeyspaceName, usize)]| {
            let list = list.iter().map(|(keyspace, id)| (*keyspace, &ids[*id]));
            DigestKey::from_bytes([key; 32]).digest(list)
        };
        let both = digest(7, &[(&keyspace, 0), (&keyspace, 1)]);
        assert_eq!(
            digest(7, &[(&keyspace, 1), (&keyspace, 0), (&keyspace, 1)]),
            both
        );
        for (key, list) in [
            (7, &[(&keyspace, 0)][..]),
            (7, &[(&keyspace, 0), (&other, 1)]),
            (7, &[(&keyspace, 0), (&keyspace, 2)]),
            (8, &[(&keyspace, 0), (&keyspace, 1)]),
            (7, &[]),
        ] {
            assert_ne!(digest(key, list), both, "{list:?}");
        }
        // Python: hmac.digest(bytes([7]) * 32, b"lethe/v1/approval-digest" +
        //   b"\0\4chat\0\6room-1" + b"\0\4chat\0\6room-2", "sha256")
        let hex: String = both.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "79054a90bc6a85186caf550dbb016581ac2d07405347f12b59934830bab50d06"
        );
    }
}
