use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::crl::Crl;
use super::files::{TlsError, file, read};
use crate::pki::write_public;

/// How far the revocation lists of each CA had come: an older list would take revocations back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMarks(BTreeMap<String, Mark>);

/// How far the revocation lists of one CA had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// The CRL number, hexadecimal.
    number: String,
    /// `thisUpdate` of the list, in milliseconds since 1970.
    this_update: u64,
}

impl Mark {
    fn from_list(list: &Crl) -> Self {
        let digits = list.number.iter().map(|byte| format!("{byte:02x}"));
        Self {
            number: digits.collect(),
            this_update: list.this_update.as_millis(),
        }
    }

    /// The number decides, because a CA's clock may be set back. Without leading zeros the longer
    /// number is larger.
    fn is_older_than(&self, other: &Self) -> bool {
        let age = |mark: &Self| (mark.number.len(), mark.number.clone(), mark.this_update);
        age(self) < age(other)
    }
}

impl ListMarks {
    /// Reads the marks of a file; no marks if there is no file yet.
    ///
    /// # Errors
    /// [`TlsError`] if the file exists and cannot be read. Without this, damaging the file would allow
    /// older lists.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        serde_json::from_slice(&read(path)?).map_err(|error| file(path, &error))
    }

    /// Writes the marks into a file, completely or not at all.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn save(&self, path: &Path) -> Result<(), TlsError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| file(path, &error))?;
        write_public(path, &(text + "\n")).map_err(|error| file(path, &error))
    }

    /// Adds a list with the public key of the CA that signed it; the key is empty for an unknown CA. Of
    /// several lists the newest counts, as in the handshake.
    pub(super) fn note(&mut self, list: &Crl, key: &[u8]) {
        let mut id = Context::new(&SHA256);
        for part in [&list.issuer()[..], key, &list.scope_bytes()] {
            id.update(&(part.len() as u64).to_be_bytes());
            id.update(part);
        }
        let id: String = id.finish().as_ref()[..16]
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect();
        let mark = Mark::from_list(list);
        match self.0.get(&id) {
            Some(known) if mark.is_older_than(known) => {}
            _ => {
                self.0.insert(id, mark);
            }
        }
    }

    /// Advances the marks to these lists if none of them is older. Marks of CAs without a list stay.
    ///
    /// # Errors
    /// Which list is older. Nothing is changed then.
    pub fn advance(&mut self, next: &Self) -> Result<(), String> {
        for (id, mark) in &next.0 {
            let known = self.0.get(id).filter(|known| mark.is_older_than(known));
            if let Some(known) = known {
                return Err(format!(
                    "a revocation list is older than the one before it (CRL number {} after {}): it would take revocations back",
                    mark.number, known.number
                ));
            }
        }
        self.0.extend(next.0.clone());
        Ok(())
    }
}
