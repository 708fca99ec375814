use base64ct::{Base64, Encoding};
use lethe_core::secret::Secret32;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A data key as standard base64, written directly into the answer.
pub(super) struct Encoded<'a>(pub(super) &'a Secret32);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new([0; 44]);
        let text =
            Base64::encode(self.0.expose(), &mut *text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}
