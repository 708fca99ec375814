//! Sealing: every page and tail is encrypted once, by AES-256-GCM with a new random key, which is in
//! its parent. No key is used for two contents, so the nonce is 12 zero bytes.

use aws_lc_rs::aead::Aad;

use super::buffer::SecretBytes;
use super::name::{PageVersion, Prefix, TailId, TreeId};
use super::page::Page;
use super::seed::Seed;
use super::tail::Tail;
use crate::identity::DeploymentId;
use crate::secret::Secret32;
use crate::single_use::{cipher, zero_nonce};

const TAG: usize = 16;
const VERSION: usize = 8;
const AAD: usize = 13 + 16 + 16 + 4 + 8 + 1 + 8;

/// Which row holds a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    /// The one row of this tree and prefix, replaced by each batch that touches it.
    Page,
    /// The row of the tail with this row id.
    Tail(TailId),
}

/// A page or tail that a lookup needs: which row to load, and the key that opens it.
pub struct PageReference {
    tree: TreeId,
    prefix: Prefix,
    row: Row,
    key: Secret32,
}

/// A page or tail in the clear, for a cache.
#[derive(Debug)]
pub enum Loaded {
    /// An inner page.
    Page(TreeId, Page),
    /// A tail.
    Tail(TreeId, TailId, Tail),
}

/// Why a row cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It was sealed with another key or context, or was altered. If [`page_version`] shows a newer
    /// batch, the directory must be read again. Otherwise the row is damaged.
    #[error("a page of the forgetting tree does not open under its parent's key")]
    DoesNotOpen,
    /// It opens but is no page: no release of Lethe sealed it.
    #[error("a page of the forgetting tree is malformed")]
    Malformed,
}

/// Distinguishes cached pages with one prefix: the first 8 bytes of the page's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyMark([u8; 8]);

impl KeyMark {
    pub(super) fn from_key(key: &Seed) -> Self {
        let mut mark = [0; 8];
        mark.copy_from_slice(&key[..8]);
        Self(mark)
    }
}

impl PageReference {
    pub(super) fn new(tree: TreeId, prefix: Prefix, row: Row, key: &Seed) -> Self {
        let key = Secret32::filled(|bytes| bytes.copy_from_slice(key));
        Self {
            tree,
            prefix,
            row,
            key,
        }
    }

    /// The tree.
    #[must_use]
    pub const fn tree(&self) -> TreeId {
        self.tree
    }

    /// The prefix; names the row of an inner page.
    #[must_use]
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The row.
    #[must_use]
    pub const fn row(&self) -> Row {
        self.row
    }

    /// Opens the row's bytes.
    ///
    /// # Errors
    /// [`PageError`], see there.
    pub fn open(&self, deployment: DeploymentId, sealed: &[u8]) -> Result<Loaded, PageError> {
        let key = self.key.expose();
        let (context, body) = match self.row {
            Row::Page => {
                let version = page_version(sealed).ok_or(PageError::DoesNotOpen)?;
                (
                    SealContext::page(self.tree, self.prefix, version),
                    &sealed[VERSION..],
                )
            }
            Row::Tail(id) => (SealContext::tail(self.tree, self.prefix, id), sealed),
        };
        let clear = context
            .open(deployment, key, body)
            .ok_or(PageError::DoesNotOpen)?;
        let mark = KeyMark::from_key(key);
        match self.row {
            Row::Page => {
                Page::parse(self.prefix, mark, clear).map(|page| Loaded::Page(self.tree, page))
            }
            Row::Tail(id) => {
                Tail::parse(self.prefix, mark, clear).map(|tail| Loaded::Tail(self.tree, id, tail))
            }
        }
        .ok_or(PageError::Malformed)
    }
}

impl std::fmt::Debug for PageReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PageReference({:?}, {:?}, {:?})",
            self.tree, self.prefix, self.row
        )
    }
}

/// The version that an inner page's row bears in the clear; its seal covers it.
#[must_use]
pub fn page_version(sealed: &[u8]) -> Option<PageVersion> {
    let version = sealed.first_chunk()?;
    Some(PageVersion::new(u64::from_be_bytes(*version)))
}

/// Bytes of the row of an inner page: version, ciphertext, tag.
pub(super) fn seal_page(
    deployment: DeploymentId,
    tree: TreeId,
    version: PageVersion,
    page: (Prefix, &SecretBytes),
    key: &Seed,
) -> Vec<u8> {
    let context = SealContext::page(tree, page.0, version);
    context.seal(deployment, key, page.1, &version.number().to_be_bytes())
}

/// Bytes of the row of a tail: ciphertext, tag.
pub(super) fn seal_tail(
    deployment: DeploymentId,
    tree: TreeId,
    id: TailId,
    tail: (Prefix, &SecretBytes),
    key: &Seed,
) -> Vec<u8> {
    SealContext::tail(tree, tail.0, id).seal(deployment, key, tail.1, &[])
}

/// What a seal is bound to, beside the deployment.
struct SealContext {
    label: &'static [u8; 13],
    tree: TreeId,
    prefix: Prefix,
    number: u64,
}

impl SealContext {
    const fn page(tree: TreeId, prefix: Prefix, version: PageVersion) -> Self {
        Self {
            label: b"lethe/v1/page",
            tree,
            prefix,
            number: version.number(),
        }
    }

    const fn tail(tree: TreeId, prefix: Prefix, id: TailId) -> Self {
        Self {
            label: b"lethe/v1/tail",
            tree,
            prefix,
            number: id.number(),
        }
    }

    fn associated_data(&self, deployment: DeploymentId) -> Aad<[u8; AAD]> {
        let mut data = [0; AAD];
        let mut rest = data.as_mut_slice();
        for part in [
            self.label.as_slice(),
            deployment.as_bytes(),
            self.tree.keyspace.as_bytes(),
            &self.tree.version.number().to_be_bytes(),
            &self.prefix.bits().to_be_bytes(),
            &[self.prefix.depth()],
            &self.number.to_be_bytes(),
        ] {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        Aad::from(data)
    }

    fn seal(
        &self,
        deployment: DeploymentId,
        key: &Seed,
        clear: &SecretBytes,
        header: &[u8],
    ) -> Vec<u8> {
        let clear = clear.as_slice();
        let mut row = Vec::with_capacity(header.len() + clear.len() + TAG);
        row.extend_from_slice(header);
        row.extend_from_slice(clear);
        let tag = cipher(key)
            .seal_in_place_separate_tag(
                zero_nonce(),
                self.associated_data(deployment),
                &mut row[header.len()..],
            )
            .expect("a page is far below the limit of AES-GCM");
        row.extend_from_slice(tag.as_ref());
        row
    }

    fn open(&self, deployment: DeploymentId, key: &Seed, body: &[u8]) -> Option<SecretBytes> {
        let (ciphertext, tag) = body.split_last_chunk::<TAG>()?;
        let mut clear = SecretBytes::zeroed(ciphertext.len());
        let opened = cipher(key).open_separate_gather(
            zero_nonce(),
            self.associated_data(deployment),
            ciphertext,
            tag,
            clear.as_mut_slice(),
        );
        opened.is_ok().then_some(clear)
    }
}
