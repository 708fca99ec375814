//! The forgetting tree in memory: what a shred costs in batches of 2,000 after 0, 100,000 and
//! 1,000,000 earlier ones, and what a lookup costs. Bytes are printed first.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;
use std::sync::OnceLock;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use divan::Bencher;
use divan::counter::ItemsCount;
use lethe_core::identity::{DeploymentId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{Entropy, EntropyError};
use lethe_core::secret::Secret32;
use lethe_core::tree::{
    Address, CoverRoot, KeptPages, LoadedPages, Lookup, Page, PageReference, PageVersion, Prefix,
    Puncture, PunctureError, Punctured, Row, Tail, TailId, Tree, TreeId,
};

const BATCH: usize = 2_000;
const EARLIER: [usize; 3] = [0, 100_000, 1_000_000];
const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([1; 16]);
const TREE: TreeId = TreeId {
    keyspace: KeyspaceId::from_bytes([2; 16]),
    version: KeyVersion::FIRST,
};

struct System(SystemRandom);

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(bytes).map_err(|_| EntropyError)
    }
}

/// All inner pages in the clear, all rows of tails sealed.
struct State {
    root: CoverRoot,
    pages: KeptPages,
    rows: HashMap<Prefix, Vec<u8>>,
    tails: HashMap<TailId, Vec<u8>>,
    next_tail: TailId,
    entropy: System,
}

/// What one batch has loaded on top.
struct Overlay<'a> {
    kept: &'a KeptPages,
    loaded: KeptPages,
}

impl LoadedPages for Overlay<'_> {
    type Page<'a>
        = &'a Page
    where
        Self: 'a;
    type Tail<'a>
        = &'a Tail
    where
        Self: 'a;

    fn page(&self, tree: TreeId, prefix: Prefix) -> Option<&Page> {
        self.kept.page(tree, prefix)
    }

    fn tail(&self, tree: TreeId, id: TailId) -> Option<&Tail> {
        self.loaded.tail(tree, id)
    }
}

impl State {
    fn with_shreds(earlier: usize) -> Self {
        let entropy = System(SystemRandom::new());
        let mut state = Self {
            root: CoverRoot::Whole(Secret32::try_filled(|seed| entropy.fill(seed)).unwrap()),
            pages: KeptPages::default(),
            rows: HashMap::new(),
            tails: HashMap::new(),
            next_tail: TailId::new(1),
            entropy,
        };
        let mut left = earlier;
        while left > 0 {
            let batch = left.min(20_000);
            let punctured = state.puncture(&state.addresses(batch));
            state.commit(punctured);
            left -= batch;
        }
        state
    }

    fn addresses(&self, count: usize) -> Vec<Address> {
        let mut bytes = vec![0; count * 8];
        self.entropy.fill(&mut bytes).unwrap();
        let (words, _) = bytes.as_chunks();
        words
            .iter()
            .map(|word| Address::from_bits(u64::from_be_bytes(*word)))
            .collect()
    }

    fn tree(&self) -> Tree<'_> {
        Tree {
            id: TREE,
            root: &self.root,
        }
    }

    /// All of it: finding out which tails are needed, opening them, the puncture itself.
    fn puncture(&self, addresses: &[Address]) -> Punctured {
        let mut pages = Overlay {
            kept: &self.pages,
            loaded: KeptPages::default(),
        };
        let puncture = Puncture {
            deployment: DEPLOYMENT,
            version: PageVersion::new(1),
            next_tail: self.next_tail,
            entropy: &self.entropy,
        };
        loop {
            match self.tree().puncture(addresses, &pages, puncture) {
                Ok(punctured) => return punctured.unwrap(),
                Err(PunctureError::Missing(missing)) => {
                    for reference in &missing {
                        self.load(reference, &mut pages.loaded);
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn load(&self, reference: &PageReference, into: &mut KeptPages) {
        let row = match reference.row() {
            Row::Page => &self.rows[&reference.prefix()],
            Row::Tail(id) => &self.tails[&id],
        };
        into.insert(reference.open(DEPLOYMENT, row).unwrap());
    }

    fn commit(&mut self, mut punctured: Punctured) {
        self.next_tail = punctured.next_tail;
        for page in punctured.pages.drain(..) {
            self.rows.insert(page.prefix, page.bytes);
        }
        for tail in punctured.tails.drain(..) {
            self.tails.insert(tail.id, tail.bytes);
        }
        for id in &punctured.superseded {
            self.tails.remove(id);
        }
        for loaded in punctured.loaded {
            if matches!(loaded, lethe_core::tree::Loaded::Page(..)) {
                self.pages.insert(loaded);
            }
        }
        self.root = punctured.root;
    }
}

fn state(earlier: usize) -> &'static State {
    static STATES: [OnceLock<State>; 3] = [const { OnceLock::new() }; 3];
    let index = EARLIER.iter().position(|known| *known == earlier).unwrap();
    STATES[index].get_or_init(|| State::with_shreds(earlier))
}

#[divan::bench(args = EARLIER, sample_size = 1)]
fn puncture_batch_of_2000(bencher: Bencher<'_, '_>, earlier: usize) {
    let state = state(earlier);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| state.addresses(BATCH))
        .bench_values(|addresses| drop(state.puncture(&addresses)));
}

#[divan::bench(args = EARLIER)]
fn puncture_one(bencher: Bencher<'_, '_>, earlier: usize) {
    let state = state(earlier);
    bencher
        .with_inputs(|| state.addresses(1))
        .bench_values(|addresses| drop(state.puncture(&addresses)));
}

#[divan::bench(args = EARLIER)]
fn lookup_inner_pages_warm_tail_cold(bencher: Bencher<'_, '_>, earlier: usize) {
    let state = state(earlier);
    bencher
        .with_inputs(|| state.addresses(1)[0])
        .bench_values(|address| match state.tree().lookup(address, &state.pages) {
            Lookup::Missing(reference) => {
                let mut pages = Overlay {
                    kept: &state.pages,
                    loaded: KeptPages::default(),
                };
                state.load(&reference, &mut pages.loaded);
                state.tree().lookup(address, &pages)
            }
            found => found,
        });
}

#[divan::bench(args = EARLIER)]
fn lookup_nothing_warm(bencher: Bencher<'_, '_>, earlier: usize) {
    let state = state(earlier);
    bencher
        .with_inputs(|| (state.addresses(1)[0], KeptPages::default()))
        .bench_values(|(address, mut pages)| {
            while let Lookup::Missing(reference) = state.tree().lookup(address, &pages) {
                state.load(&reference, &mut pages);
            }
            state.tree().lookup(address, &pages)
        });
}

#[divan::bench(args = EARLIER)]
fn lookup_warm_above_tails(bencher: Bencher<'_, '_>, earlier: usize) {
    let state = state(earlier);
    let covered =
        |address: &Address| matches!(state.tree().lookup(*address, &state.pages), Lookup::Leaf(_));
    bencher
        .with_inputs(|| state.addresses(100).into_iter().find(covered).unwrap())
        .bench_values(|address| state.tree().lookup(address, &state.pages));
}

/// What divan does not show: bytes, and CPU time, which a busy machine does not stretch.
fn print_costs(earlier: usize) {
    let state = state(earlier);
    let punctured = state.puncture(&state.addresses(BATCH));
    let pages: usize = punctured.pages.iter().map(|page| page.bytes.len()).sum();
    let tails: usize = punctured.tails.iter().map(|tail| tail.bytes.len()).sum();
    println!(
        "{earlier} earlier: {:.1} us of CPU and {} bytes a shred ({} in {} pages, {} in {} tails)",
        cpu_of_a_shred(state),
        (pages + tails) / BATCH,
        pages / BATCH,
        punctured.pages.len(),
        tails / BATCH,
        punctured.tails.len(),
    );
    println!(
        "    kept: {} inner pages of {} MB, {} tails of {} MB",
        state.rows.len(),
        state.rows.values().map(Vec::len).sum::<usize>() / 1_000_000,
        state.tails.len(),
        state.tails.values().map(Vec::len).sum::<usize>() / 1_000_000,
    );
}

/// Microseconds, median of some batches.
fn cpu_of_a_shred(state: &State) -> f64 {
    let batch = || {
        let addresses = state.addresses(BATCH);
        let before = cpu_time();
        drop(state.puncture(&addresses));
        cpu_time() - before
    };
    let mut nanoseconds: Vec<u64> = (0..51).map(|_| batch()).collect();
    nanoseconds.sort_unstable();
    nanoseconds[25] as f64 / 1_000.0 / BATCH as f64
}

/// Nanoseconds that this thread has had, as Linux counts them.
fn cpu_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn main() {
    if std::env::args().any(|argument| argument == "--bench") {
        EARLIER.into_iter().for_each(print_costs);
    }
    divan::main();
}
