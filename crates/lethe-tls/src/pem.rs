//! PEM files (RFC 7468) of which nothing is skipped. Text between blocks is allowed, as tools write
//! it; but what may be a damaged block, a wrong kind of block or part of one makes the whole file
//! unusable: a reader that skips it leaves out a CA, or a revocation, without a word. That is why none of the
//! libraries reads them: `rustls-pki-types` skips all of this, and `pem-rfc7468` refuses long lines.

use base64ct::{Base64, Encoding};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// A line with dashes that begins or ends no block.
    #[error("line {0} looks like the begin or end of a PEM block and is none")]
    BadBoundary(usize),
    /// A block that no line ends, or that another one ends.
    #[error("the PEM block that begins in line {0} has no end")]
    Unended(usize),
    /// The end of a block that did not begin.
    #[error("line {0} ends a PEM block that did not begin")]
    Unbegun(usize),
    /// Base64 between blocks.
    #[error("line {0} looks like part of a PEM block and is outside of one")]
    Stray(usize),
    /// Between begin and end is something else than base64.
    #[error("the PEM block that begins in line {0} is not base64")]
    NotBase64(usize),
    /// Another kind of block than belongs into the file.
    #[error("line {line}: a block '{label}' does not belong into this file")]
    WrongLabel {
        /// Where the block begins.
        line: usize,
        /// What it calls itself.
        label: String,
    },
    /// A block that does not hold what it says.
    #[error("the PEM block that begins in line {0} holds no certificate")]
    NoCertificate(usize),
    /// Not text.
    #[error("is not a PEM file")]
    NotText,
    /// No block of the kind.
    #[error("holds no {0}")]
    Empty(&'static str),
    /// More than one private key.
    #[error("holds more than one private key")]
    ManyKeys,
}

/// The certificates of a file, at least one, and nothing else.
///
/// # Errors
/// [`PemError`].
pub fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut found = Vec::new();
    for mut block in blocks(file)? {
        block.expect(&["CERTIFICATE"])?;
        match X509Certificate::from_der(&block.content) {
            Ok(([], _)) => found.push(CertificateDer::from(block.take())),
            _ => return Err(PemError::NoCertificate(block.line)),
        }
    }
    match found.is_empty() {
        true => Err(PemError::Empty("certificate")),
        false => Ok(found),
    }
}

/// The one private key of a file: PKCS #8, PKCS #1 or SEC1, not encrypted.
///
/// # Errors
/// [`PemError`].
pub fn private_key(file: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut key = None;
    for mut block in blocks(file)? {
        let found: PrivateKeyDer<'static> = match block.label.as_str() {
            // What `openssl ecparam -genkey` puts before the key.
            "EC PARAMETERS" => continue,
            "PRIVATE KEY" => PrivatePkcs8KeyDer::from(block.take()).into(),
            "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(block.take()).into(),
            "EC PRIVATE KEY" => PrivateSec1KeyDer::from(block.take()).into(),
            _ => return Err(block.wrong_label()),
        };
        if key.replace(found).is_some() {
            return Err(PemError::ManyKeys);
        }
    }
    key.ok_or(PemError::Empty("private key"))
}

/// The revocation lists of a file: any number in PEM, or one in DER. What they hold is not looked at.
///
/// # Errors
/// [`PemError`].
pub fn revocation_lists(
    file: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    // DER begins with a SEQUENCE, which no PEM does.
    if file.first() == Some(&0x30) {
        return Ok(vec![CertificateRevocationListDer::from(file.to_vec())]);
    }
    let mut found = Vec::new();
    for mut block in blocks(file)? {
        block.expect(&["X509 CRL"])?;
        found.push(CertificateRevocationListDer::from(block.take()));
    }
    match found.is_empty() {
        true => Err(PemError::Empty("revocation list")),
        false => Ok(found),
    }
}

struct Block {
    /// Where it begins, counted from 1.
    line: usize,
    label: String,
    content: Zeroizing<Vec<u8>>,
}

impl Block {
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.content)
    }

    fn expect(&self, labels: &[&str]) -> Result<(), PemError> {
        match labels.contains(&self.label.as_str()) {
            true => Ok(()),
            false => Err(self.wrong_label()),
        }
    }

    fn wrong_label(&self) -> PemError {
        PemError::WrongLabel {
            line: self.line,
            label: self.label.escape_default().to_string(),
        }
    }
}

struct Open<'a> {
    line: usize,
    label: &'a str,
    base64: Zeroizing<String>,
}

fn blocks(file: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = std::str::from_utf8(file).map_err(|_| PemError::NotText)?;
    let mut blocks = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.trim_end_matches([' ', '\t', '\r']);
        open = match (Line::of(line), open) {
            (Line::Damaged, _) => return Err(PemError::BadBoundary(number)),
            (Line::Begin(_), Some(open)) => return Err(PemError::Unended(open.line)),
            (Line::Begin(label), None) => Some(Open {
                line: number,
                label,
                // Room for all of it: a string that grows leaves copies behind.
                base64: Zeroizing::new(String::with_capacity(file.len())),
            }),
            (Line::End(label), Some(open)) if label == open.label => {
                blocks.push(open.close()?);
                None
            }
            (Line::End(_), Some(open)) => return Err(PemError::Unended(open.line)),
            (Line::End(_), None) => return Err(PemError::Unbegun(number)),
            (Line::Other, Some(mut open)) => {
                open.base64.push_str(line);
                Some(open)
            }
            (Line::Other, None) if is_part_of_a_block(line) => return Err(PemError::Stray(number)),
            (Line::Other, None) => None,
        };
    }
    match open {
        Some(open) => Err(PemError::Unended(open.line)),
        None => Ok(blocks),
    }
}

impl Open<'_> {
    fn close(self) -> Result<Block, PemError> {
        let mut content = Zeroizing::new(vec![0; self.base64.len()]);
        let decoded = Base64::decode(self.base64.as_bytes(), &mut content);
        let bytes = decoded.map_err(|_| PemError::NotBase64(self.line))?.len();
        content[bytes..].zeroize();
        content.truncate(bytes);
        if bytes == 0 {
            return Err(PemError::NotBase64(self.line));
        }
        Ok(Block {
            line: self.line,
            label: self.label.to_owned(),
            content,
        })
    }
}

enum Line<'a> {
    Begin(&'a str),
    End(&'a str),
    /// Neither, though somebody meant it to be.
    Damaged,
    Other,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let inner = line.strip_prefix("-----");
        let inner = inner.and_then(|line| line.strip_suffix("-----"));
        let begin = inner.and_then(|inner| inner.strip_prefix("BEGIN "));
        let end = inner.and_then(|inner| inner.strip_prefix("END "));
        match (begin, end) {
            (Some(label), _) if is_label(label) => Self::Begin(label),
            (_, Some(label)) if is_label(label) => Self::End(label),
            _ if looks_like_a_boundary(line) => Self::Damaged,
            _ => Self::Other,
        }
    }
}

fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    !label.is_empty() && label.bytes().all(known)
}

/// Dashes, or a character that an editor makes of them, beside BEGIN or END.
fn looks_like_a_boundary(line: &str) -> bool {
    let upper = line.to_ascii_uppercase();
    let dashed =
        line.contains("--") || line.contains(['\u{2010}', '\u{2011}', '\u{2013}', '\u{2014}']);
    line.contains("-----") || (dashed && (upper.contains("BEGIN") || upper.contains("END ")))
}

/// Forty or more characters of base64 and nothing else: no text that a tool writes, whose words and
/// fingerprints have blanks and colons between them.
fn is_part_of_a_block(line: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let line = line.trim();
    line.len() >= 40 && line.bytes().all(known)
}
