//! The layers: who may know whom. Reads `cargo metadata`, fails on a forbidden edge.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod rooms;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Packages of this workspace that each may use (tests included); one not listed here fails.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "lethe",
        &[
            "lethe-audit",
            "lethe-client",
            "lethe-core",
            "lethe-pkcs11",
            "lethe-store-postgres",
            "lethe-store-sqlite",
            "lethe-testkit",
            "lethe-tls",
        ],
    ),
    ("lethe-audit", &["lethe-core", "lethe-testkit"]),
    ("lethe-bench", &["lethe-core", "lethe-testkit", "lethe-tls"]),
    ("lethe-client", &["lethe-tls"]),
    ("message-server", &["lethe-client"]),
    ("lethe-core", &[]),
    (
        "lethe-store-postgres",
        &[
            "lethe-core",
            "lethe-store-sql",
            "lethe-testkit",
            "webpki-roots",
        ],
    ),
    ("lethe-store-sql", &["lethe-core"]),
    (
        "lethe-store-sqlite",
        &["lethe-core", "lethe-store-sql", "lethe-testkit"],
    ),
    ("lethe-pkcs11", &["lethe-core", "lethe-testkit"]),
    ("lethe-testkit", &["lethe-core"]),
    ("lethe-tls", &[]),
    ("webpki-roots", &[]),
    ("hsm-sim", &["lethe-tls"]),
    ("hsm-sim-pkcs11", &["hsm-sim"]),
];

/// What the domain must not know.
const FOREIGN_TO_CORE: &[&str] = &[
    "axum", "hyper", "sqlx", "tokio", "cryptoki", "rustls", "reqwest",
];

type Edges = BTreeMap<String, Vec<String>>;

fn edges() -> Edges {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            (
                name(package),
                package["dependencies"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(name)
                    .collect(),
            )
        })
        .collect()
}

fn forbidden(edges: &Edges) -> Vec<String> {
    let ours = |name: &String| edges.contains_key(name);
    let mut found = Vec::new();
    for (package, dependencies) in edges {
        let allowed = ALLOWED
            .iter()
            .find(|(name, _)| name == package)
            .map(|(_, allowed)| *allowed);
        for dependency in dependencies {
            let listed = allowed.is_some_and(|allowed| allowed.contains(&dependency.as_str()));
            let foreign = package == "lethe-core" && FOREIGN_TO_CORE.contains(&dependency.as_str());
            if (ours(dependency) && !listed) || foreign {
                found.push(format!("{package} -> {dependency}"));
            }
        }
        if allowed.is_none() {
            found.push(format!("{package} is not in the list of layers"));
        }
    }
    found
}

#[test]
fn no_forbidden_arrow() {
    assert_eq!(forbidden(&edges()), Vec::<String>::new());
}

#[test]
fn the_check_can_fail() {
    let mut edges = edges();
    let core = edges.get_mut("lethe-core").unwrap();
    core.extend(["tokio".to_owned(), "lethe-pkcs11".to_owned()]);
    assert_eq!(
        forbidden(&edges),
        ["lethe-core -> tokio", "lethe-core -> lethe-pkcs11"]
    );
}
