use serde::Deserialize;

/// `[rotation]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotationSection {
    /// A key version in which so many conversations were shredded is replaced before its age requires
    /// it.
    pub after_shreds: u64,
}

impl Default for RotationSection {
    fn default() -> Self {
        Self {
            after_shreds: 2_000_000,
        }
    }
}

impl RotationSection {
    pub(super) fn check(&self) -> Result<(), String> {
        if (1_000..=1 << 40).contains(&self.after_shreds) {
            Ok(())
        } else {
            Err("rotation.after_shreds must be 1000 to 1099511627776".into())
        }
    }
}
