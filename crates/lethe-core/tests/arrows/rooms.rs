//! The rooms of the service, which are the folders of `src`: which of them may name which. Reads the
//! sources and fails on an arrow that is not listed, and on a listed one that nobody uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms that it names. All of these stand above it, so that there is no circle.
const ROOMS: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("pki", &["config"]),
    ("node", &["config"]),
    ("observability", &["config", "node"]),
    ("identity", &["config", "node", "observability", "pki"]),
    ("permissions", &["config"]),
    ("limits", &["config", "identity", "observability"]),
    (
        "admission",
        &["config", "identity", "node", "observability"],
    ),
    ("erasure", &["node", "permissions"]),
    (
        "leader",
        &["config", "erasure", "node", "observability", "permissions"],
    ),
    (
        "approvals",
        &[
            "erasure",
            "identity",
            "leader",
            "node",
            "observability",
            "permissions",
        ],
    ),
    (
        "http",
        &[
            "admission",
            "approvals",
            "erasure",
            "identity",
            "leader",
            "limits",
            "node",
            "observability",
            "permissions",
        ],
    ),
    (
        "app",
        &[
            "admission",
            "approvals",
            "config",
            "erasure",
            "http",
            "identity",
            "leader",
            "limits",
            "node",
            "observability",
            "permissions",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "config",
            "http",
            "identity",
            "leader",
            "node",
            "observability",
            "pki",
        ],
    ),
];

/// What makes a permission from an approval, and the only room that may do so.
const PROOF: (&[&str], &str) = (
    &["Permission::approved(", "Permission::for_nothing_new("],
    "approvals",
);

/// A source file without comments and tests.
struct Source {
    room: String,
    code: String,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let source = |path: PathBuf| {
        let inside = path.strip_prefix(&folder).unwrap();
        let names: Vec<_> = inside.iter().map(|it| it.to_str().unwrap()).collect();
        let is_test = names.iter().any(|it| it.trim_end_matches(".rs") == "tests");
        let in_room = names.len() > 1 && !is_test;
        in_room.then(|| Source {
            room: names[0].to_owned(),
            code: code(&fs::read_to_string(&path).unwrap()),
        })
    };
    paths.into_iter().filter_map(source).collect()
}

fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next();
    before_tests.unwrap().to_owned()
}

/// The rooms that the code names. One that is not a name, as in `crate::{a, b}`, is no room and fails.
fn named(code: &str) -> BTreeSet<String> {
    let after = code.split("crate::").skip(1);
    let end = |text: &str| text.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    let name = |text: &str| text[..end(text).unwrap_or(text.len())].to_owned();
    after.map(name).collect()
}

fn arrow(from: &str, to: &str) -> String {
    format!("{from} -> {to}")
}

fn found(sources: &[Source]) -> BTreeSet<String> {
    let arrows_of = |source: &Source| {
        let others = named(&source.code).into_iter();
        let others = others.filter(|to| *to != source.room);
        let arrows = others.map(|to| arrow(&source.room, &to));
        arrows.collect::<Vec<_>>()
    };
    sources.iter().flat_map(arrows_of).collect()
}

fn listed() -> BTreeSet<String> {
    let arrows_of =
        |(from, to): &(&str, &[&str])| to.iter().map(|to| arrow(from, to)).collect::<Vec<_>>();
    ROOMS.iter().flat_map(arrows_of).collect()
}

#[test]
fn every_room_names_only_what_is_listed() {
    let sources = sources();
    assert_eq!(found(&sources), listed());
    let rooms: BTreeSet<_> = sources.iter().map(|it| it.room.as_str()).collect();
    assert_eq!(rooms, ROOMS.iter().map(|(room, _)| *room).collect());
}

#[test]
fn no_arrow_goes_back() {
    for (at, (room, named)) in ROOMS.iter().enumerate() {
        for to in *named {
            let above = ROOMS[..at].iter().any(|(other, _)| other == to);
            assert!(above, "{room} names {to}, which does not stand above it");
        }
    }
}

#[test]
fn only_approvals_make_a_permission_from_an_approval() {
    let (calls, room) = PROOF;
    for source in sources() {
        let makes = calls.iter().any(|call| source.code.contains(call));
        assert!(
            !makes || [room, "permissions"].contains(&source.room.as_str()),
            "{} makes a permission",
            source.room
        );
    }
}

#[test]
fn comments_and_tests_do_not_count() {
    let text = "use crate::config::A; // crate::http\n\
                fn f(_: crate::node::B) {}\n\
                #[cfg(test)]\nmod tests {\n use crate::app::C;\n}\n";
    let names: Vec<_> = named(&code(text)).into_iter().collect();
    assert_eq!(names, ["config", "node"]);
    assert!(named("use crate::{config, node};").contains(""));
}
