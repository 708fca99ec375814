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

/// Of one CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// CRL number, hexadecimal.
    number: String,
    /// `thisUpdate`, in milliseconds.
    this_update: u64,
}

impl Mark {
    fn of(list: &Crl) -> Self {
        let digits = list.number.iter().map(|byte| format!("{byte:02x}"));
        Self {
            number: digits.collect(),
            this_update: list.this_update.as_millis(),
        }
    }

    /// The number decides: a CA's clock may be set back. Without zeros in front the longer is larger.
    fn is_older_than(&self, other: &Self) -> bool {
        let age = |mark: &Self| (mark.number.len(), mark.number.clone(), mark.this_update);
        age(self) < age(other)
    }
}

impl ListMarks {
    /// Those of a file; none where there is no file yet.
    ///
    /// # Errors
    /// [`TlsError`] when it is there and cannot be read: who made it so could take revocations back.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        serde_json::from_slice(&read(path)?).map_err(|error| file(path, &error))
    }

    /// Puts them into a file, whole or not at all.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn save(&self, path: &Path) -> Result<(), TlsError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| file(path, &error))?;
        write_public(path, &(text + "\n")).map_err(|error| file(path, &error))
    }

    /// A list that the key of a CA signed, or an unknown one. Of several the newest counts, as in the
    /// handshake.
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
        let mark = Mark::of(list);
        match self.0.get(&id) {
            Some(known) if mark.is_older_than(known) => {}
            _ => {
                self.0.insert(id, mark);
            }
        }
    }

    /// Goes on to lists that are nowhere older; what is not listed any more is remembered.
    ///
    /// # Errors
    /// What is older, and nothing is changed.
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
