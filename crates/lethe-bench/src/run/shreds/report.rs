//! What the run found, for people and for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::super::table::{self, Beside, shown};
use super::targets::{TARGETS, names};
use super::{Found, Point};

const BESIDE: [Beside; 2] = [
    Beside {
        title: "/issue",
        case: names::ISSUE,
    },
    Beside {
        title: "/unwrap",
        case: names::UNWRAP,
    },
];

pub(super) fn print(out: &mut dyn Write, found: &Found) -> io::Result<()> {
    print_curve(out, &found.curve)?;
    table::print_cases(out, &found.results, &BESIDE)?;
    table::print_rest(out, &found.results, TARGETS)?;
    writeln!(out)?;
    found
        .parts
        .iter()
        .try_for_each(|part| writeln!(out, "{part}"))?;
    let all: f64 = found.parts.iter().map(|part| part.seconds).sum();
    writeln!(out, "in all: {all:.1} s")
}

fn print_curve(out: &mut dyn Write, curve: &[Point]) -> io::Result<()> {
    writeln!(
        out,
        "\n{:>14}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}{:>9}{:>8}",
        "earlier",
        "shreds/s",
        "p50 ms",
        "p99 ms",
        "a root",
        "page bytes",
        "disk bytes",
        "CPU us",
        "HSM us"
    )?;
    for Point { earlier, shredding } in curve {
        let figures = &shredding.figures;
        writeln!(
            out,
            "{earlier:>14}{:>10.0}{:>10.1}{:>10.1}{:>10}{:>12}{:>12}{:>9.1}{:>8.1}",
            figures.throughput,
            figures.p50 / 1e3,
            figures.p99 / 1e3,
            shown(shredding.together),
            shown(shredding.page_bytes),
            shown(figures.disk),
            figures.server_cpu,
            figures.children_cpu,
        )?;
    }
    Ok(())
}

/// The same as JSON.
pub(super) fn json(found: &Found) -> Value {
    let mut all = table::json(&found.results, TARGETS);
    all["curve"] = json!(found.curve);
    all["parts"] = json!(found.parts);
    all
}
