//! Leaves: after every batch the program derives exactly those that the core does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use lethe_core::tree::{Address, TreeId};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, Executor};

use super::world::{World, copy_files, tree};
use crate::support::independent as program;

const TREES: [TreeId; 3] = [tree(1, 1), tree(1, 2), tree(2, 1)];

fn random() -> u64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes)
}

fn addresses(bits: impl IntoIterator<Item = u64>) -> Vec<Address> {
    bits.into_iter().map(Address::from_bits).collect()
}

/// Leaves that part from `base` at each depth: pages at every level.
fn parting_everywhere(base: u64) -> impl Iterator<Item = u64> {
    (0..64).step_by(3).map(move |bit| base ^ 1 << bit)
}

/// The forgotten ones, neighbours of some of them at each depth, and others.
fn asked(forgotten: &[(TreeId, Vec<Address>)]) -> Vec<(TreeId, Address)> {
    let mut asked = Vec::new();
    for (tree, leaves) in forgotten {
        asked.extend(leaves.iter().map(|leaf| (*tree, *leaf)));
        for leaf in leaves.iter().step_by(17) {
            let beside = (0..64).map(|bit| Address::from_bits(leaf.bits() ^ 1 << bit));
            asked.extend(beside.map(|address| (*tree, address)));
        }
    }
    for tree in TREES {
        let others = (0..50).map(|_| random()).chain([0, u64::MAX]);
        asked.extend(addresses(others).into_iter().map(|address| (tree, address)));
    }
    asked
}

fn write_asked(path: &Path, asked: &[(TreeId, Address)]) {
    let line = |(tree, address): &(TreeId, Address)| {
        json!({ "keyspace": tree.keyspace.to_string(), "version": tree.version.number(),
                "address": format!("{:016x}", address.bits()) })
    };
    program::write_lines(path, asked.iter().map(line));
}

fn found_by_program(dump: &Path, asked: &Path, copies: &[PathBuf]) -> Vec<Option<String>> {
    let words = [
        "--dump".into(),
        dump.into(),
        "--addresses".into(),
        asked.into(),
    ];
    let copies = copies.iter().map(OsString::from);
    let lines = program::lines("leaves.py", words.into_iter().chain(copies));
    let leaf = |line: Value| line["leaf"].as_str().map(str::to_owned);
    lines.into_iter().map(leaf).collect()
}

fn found_by_core(world: &World, asked: &[(TreeId, Address)]) -> Vec<Option<String>> {
    let hex = |leaf: [u8; 32]| leaf.iter().map(|byte| format!("{byte:02x}")).collect();
    let leaf = |(tree, address): &(TreeId, Address)| world.lookup(*tree, *address).map(hex);
    asked.iter().map(leaf).collect()
}

/// Batches of every size, with leaves far apart, close together, again, and all of a page.
fn batches() -> Vec<Vec<(TreeId, Vec<Address>)>> {
    let [first, second, third] = TREES;
    let (base, lone) = (random(), random());
    let far = |count| addresses((0..count).map(|_| random()));
    vec![
        vec![(first, addresses([lone]))],
        vec![
            (first, addresses(parting_everywhere(base))),
            (third, far(3)),
        ],
        vec![(first, far(600)), (second, addresses([lone, lone ^ 1]))],
        vec![(first, addresses([base, lone, lone ^ 1, lone ^ 1 << 40]))],
        vec![
            (second, addresses((0..16).map(|last| base & !15 | last))),
            (third, far(300)),
        ],
    ]
}

#[tokio::test]
async fn after_every_batch_the_same_leaves_live() {
    let mut world = World::new().await;
    world.create(&TREES).await;
    let batches = batches();
    let asked = asked(&batches.concat());
    let asked_file = world.folder.path().join("asked.jsonl");
    write_asked(&asked_file, &asked);

    let mut copies = vec![world.copy("copy-0")];
    let mut expected = vec![found_by_core(&world, &asked)];
    for batch in &batches {
        world.forget(batch, None).await;
        copies.push(world.copy(&format!("copy-{}", copies.len())));
        expected.push(found_by_core(&world, &asked));
    }
    world.drop_version(TREES[1]).await;
    copies.push(world.copy("copy-last"));
    expected.push(found_by_core(&world, &asked));

    assert!(expected[0].iter().all(Option::is_some));
    for pair in expected.windows(2) {
        let lives = |found: &[Option<String>]| found.iter().flatten().count();
        assert!(lives(&pair[1]) < lives(&pair[0]));
    }
    for (batch, expected) in (1..).zip(&expected) {
        let found = found_by_program(&world.dump(batch), &asked_file, &copies);
        assert!(found == *expected, "after batch {batch}");
    }
    // All was written since the last checkpoint, so the WAL alone tells as much.
    let wal = world.folder.path().join("wal");
    copy_files(world.folder.path(), &wal, &["lethe.db-wal"]);
    for batch in [2, world.batches()] {
        let found = found_by_program(&world.dump(batch), &asked_file, std::slice::from_ref(&wal));
        assert!(
            found == expected[batch - 1],
            "by the WAL, after batch {batch}"
        );
    }
}

/// Copies that lack what the others have: no free page and no WAL holds it either.
async fn without(copy: &Path, tables: &[&str]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(copy.join("lethe.db"));
    let mut connection = options.connect().await.unwrap();
    for table in tables {
        let delete = format!("DELETE FROM {table}");
        connection
            .execute(sqlx::AssertSqlSafe(delete))
            .await
            .unwrap();
    }
    connection.execute("VACUUM").await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_page_of_one_copy_opens_under_a_key_from_another() {
    let mut world = World::new().await;
    world.create(&TREES[..1]).await;
    let leaves = addresses((0..500).map(|_| random()));
    world.forget(&[(TREES[0], leaves.clone())], None).await;
    let [meta, pages, tails] = ["meta", "pages", "tails"].map(|name| world.copy(name));
    without(&meta, &["page", "tail"]).await;
    without(&pages, &["meta", "tail"]).await;
    without(&tails, &["meta", "page"]).await;

    let asked = asked(&[(TREES[0], leaves)]);
    let asked: Vec<_> = asked
        .into_iter()
        .filter(|(tree, _)| *tree == TREES[0])
        .collect();
    let file = world.folder.path().join("asked.jsonl");
    write_asked(&file, &asked);
    let (dump, expected) = (world.dump(2), found_by_core(&world, &asked));
    let opened = |copies: &[PathBuf]| {
        let found = found_by_program(&dump, &file, copies);
        found.iter().flatten().count()
    };
    assert_eq!(
        opened(&[pages.clone(), tails.clone()]),
        0,
        "no key leads to them"
    );
    let without_tails = opened(&[meta.clone(), pages.clone()]);
    assert!(without_tails > 0 && without_tails < expected.iter().flatten().count());
    assert_eq!(
        found_by_program(&dump, &file, &[meta, pages, tails]),
        expected
    );

    // Nor need SQLite be able to read it.
    let torn = world.copy("torn");
    without(&torn, &[]).await;
    let database = torn.join("lethe.db");
    let mut bytes = std::fs::read(&database).unwrap();
    bytes[..4_096].fill(0);
    std::fs::write(&database, bytes).unwrap();
    assert_eq!(found_by_program(&dump, &file, &[torn]), expected);
}
