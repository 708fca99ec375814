//! The adversary of `docs/design.md#forgetting-tree` against random histories of a deployment.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod evidence;
mod world;

use lethe_core::tree::TreeId;
use proptest::prelude::*;

use world::{Change, Fault, World};

/// One event. Numbers choose among what is there at that time.
#[derive(Debug, Clone)]
enum Event {
    Issue { tree: u8, leaf: u64 },
    Shred(Vec<u16>),
    ShredUnused { tree: u8, leaf: u64 },
    Crash(Vec<u16>),
    Retry(Vec<u16>, Vec<u16>),
    CrashedRotation(u8),
    Rotate(u8),
    DropVersion(u8),
    DropKeyspace(u8),
    Restore(u8),
    LoseCache,
    LoseTails,
    Look,
}

/// Leaves that often share long prefixes, as no conversation could be made to.
fn leaves() -> impl Strategy<Value = u64> {
    let bases = prop_oneof![Just(0), Just(u64::MAX), Just(0x0123_4567_89ab_cdef)];
    prop_oneof![
        2 => any::<u64>(),
        2 => (bases.clone(), 0_u32..64).prop_map(|(base, bit)| base ^ 1 << bit),
        1 => (bases, 0_u64..16).prop_map(|(base, low)| base ^ low),
    ]
}

fn chosen() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..6)
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (any::<u8>(), leaves()).prop_map(|(tree, leaf)| Event::Issue { tree, leaf }),
        6 => chosen().prop_map(Event::Shred),
        2 => (any::<u8>(), leaves()).prop_map(|(tree, leaf)| Event::ShredUnused { tree, leaf }),
        2 => chosen().prop_map(Event::Crash),
        2 => (chosen(), chosen()).prop_map(|(first, more)| Event::Retry(first, more)),
        1 => (1_u8..3).prop_map(Event::CrashedRotation),
        1 => (1_u8..3).prop_map(Event::Rotate),
        1 => any::<u8>().prop_map(Event::DropVersion),
        1 => any::<u8>().prop_map(Event::DropKeyspace),
        1 => any::<u8>().prop_map(Event::Restore),
        1 => Just(Event::LoseCache),
        1 => Just(Event::LoseTails),
        2 => Just(Event::Look),
    ]
}

fn live_trees(world: &World) -> Vec<TreeId> {
    let live = world.truth.iter().filter(|(_, truth)| !truth.dropped);
    live.map(|(tree, _)| *tree).collect()
}

fn tree(world: &World, choice: u8) -> Option<TreeId> {
    let trees = live_trees(world);
    trees.get(usize::from(choice) % trees.len().max(1)).copied()
}

fn shreds(world: &World, choices: &[u16]) -> Change {
    let trees = live_trees(world);
    let leaves: Vec<_> = trees
        .iter()
        .flat_map(|tree| world.truth[tree].live.iter().map(|leaf| (*tree, *leaf)))
        .collect();
    let mut change = Change::default();
    for choice in choices.iter().take_while(|_| !leaves.is_empty()) {
        let (tree, leaf) = leaves[usize::from(*choice) % leaves.len()];
        // Out of order and the same twice, as they may arrive.
        change.shred.entry(tree).or_default().push(leaf);
    }
    change
}

fn happen(world: &mut World, event: &Event) -> Result<(), String> {
    match event {
        Event::Issue { tree: choice, leaf } => {
            if let Some(tree) = tree(world, *choice) {
                let truth = world.truth.get_mut(&tree).unwrap();
                if !truth.shredded.contains(leaf) {
                    truth.live.insert(*leaf);
                }
            }
        }
        Event::Shred(choices) => world.batch(&shreds(world, choices)),
        Event::ShredUnused { tree: choice, leaf } => {
            if let Some(tree) = tree(world, *choice) {
                let mut change = Change::default();
                change.shred.insert(tree, vec![*leaf, *leaf]);
                world.batch(&change);
            }
        }
        Event::Crash(choices) => world.crash(&shreds(world, choices)),
        Event::Retry(first, more) => {
            let all = [first.as_slice(), more].concat();
            let (first, then) = (shreds(world, first), shreds(world, &all));
            world.retry(&first, &then);
        }
        Event::CrashedRotation(keyspace) => {
            let add = tree(world, *keyspace).map(|mut tree| {
                tree.version = lethe_core::keyspace::KeyVersion::new(1_000).unwrap();
                tree
            });
            world.crash(&Change {
                add,
                ..Change::default()
            });
        }
        Event::Rotate(keyspace) => world.rotate(*keyspace),
        Event::DropVersion(choice) => {
            let drop = tree(world, *choice).into_iter().collect();
            world.batch(&Change {
                drop,
                ..Change::default()
            });
        }
        Event::DropKeyspace(choice) => {
            let keyspace = tree(world, *choice).map(|tree| tree.keyspace);
            let all = live_trees(world).into_iter();
            let drop = all.filter(|tree| Some(tree.keyspace) == keyspace).collect();
            world.batch(&Change {
                drop,
                ..Change::default()
            });
        }
        Event::Restore(choice) => {
            let old = &world.metas[usize::from(*choice) % world.metas.len()];
            if world.starts_on(old) && !world.is_current(old) && !world.is_orphan(old) {
                return Err("an old copy of the database opens".to_owned());
            }
        }
        Event::LoseCache => world.lose_cache(),
        Event::LoseTails => world.lose_tails(),
        // Fills the cache that hears of no batch, too.
        Event::Look => world.serves_the_truth()?,
    }
    Ok(())
}

/// Plays a history, then lets the adversary in.
fn play(fault: Fault, history: &[Event]) -> Result<(), String> {
    let mut world = World::new(fault);
    for event in history {
        happen(&mut world, event)?;
    }
    world.serves_the_truth()?;
    world.adversary_learns_the_living_only()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn the_adversary_learns_the_living_only(history in prop::collection::vec(events(), 0..40)) {
        prop_assert_eq!(play(Fault::None, &history), Ok(()));
    }
}

/// Two neighbours and a stranger, one of each shredded alone, then with a retry that grew.
fn busy() -> Vec<Event> {
    let issue = |leaf| Event::Issue { tree: 0, leaf };
    let leaves = [5, 6, 7, 1 << 63, 1 << 62, u64::MAX];
    let mut history: Vec<_> = leaves.into_iter().map(issue).collect();
    history.push(Event::Shred(vec![0]));
    history.push(Event::Shred(vec![0]));
    history.push(Event::Retry(vec![1], vec![2]));
    history
}

#[test]
fn a_busy_history_is_clean() {
    assert_eq!(play(Fault::None, &busy()), Ok(()));
}

#[test]
fn every_fault_lets_the_adversary_win() {
    for fault in [
        Fault::PageKeysRepeat,
        Fault::DirectoryKeyStays,
        Fault::RetryDrawsTheSame,
        Fault::OldRootStays,
    ] {
        let verdict = play(fault, &busy());
        let found = verdict.is_err_and(|why| why.ends_with("forgotten and found"));
        assert!(found, "{fault:?} goes unnoticed");
    }
}
