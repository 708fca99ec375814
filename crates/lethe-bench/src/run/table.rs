//! What the run found, for people and for programs.

use serde_json::{Value, json};

use super::results::Results;
use super::targets::{names, share, verdicts};

/// Prints the tables.
pub(super) fn print(results: &Results) {
    println!(
        "\n{:<29}{:>5}{:>11}{:>10}{:>10}{:>9}{:>8}{:>8}{:>10}{:>10}",
        "",
        "conns",
        "ops/s",
        "p50 us",
        "p99 us",
        "CPU us",
        "HSM us",
        "gen us",
        "/control",
        "/openbao"
    );
    for (case, figures) in results.medians() {
        let ratio = |to| share(results, case.name, to, case.connections);
        println!(
            "{:<29}{:>5}{:>11.0}{:>10.0}{:>10.0}{:>9.1}{:>8.1}{:>8.1}{:>10}{:>10}",
            case.name,
            case.connections,
            figures.throughput,
            figures.p50,
            figures.p99,
            figures.server_cpu,
            figures.children_cpu,
            figures.generator_cpu,
            shown(ratio(names::CONTROL)),
            shown(ratio(names::OPENBAO_AUDIT)),
        );
    }
    for (name, value) in results.singles() {
        println!("{name}: {value:.1}");
    }
    println!("\n{:<53}{:>12}{:>12}", "target", "asked", "measured");
    for verdict in verdicts(results) {
        let measured = verdict.measured.map(|(value, _)| value);
        let word = match verdict.measured {
            Some((_, true)) => "met",
            Some((_, false)) => "MISSED",
            None => "not measured",
        };
        println!(
            "{:<53}{:>12}{:>12}  {word}",
            verdict.what,
            verdict.bound.to_string(),
            shown(measured)
        );
    }
    for missing in &results.missing {
        println!("not measured: {missing}");
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// The same as JSON.
pub(super) fn json(results: &Results) -> Value {
    let cases: Vec<_> = results
        .medians()
        .map(|(case, figures)| json!({"case": case, "figures": figures}))
        .collect();
    let targets: Vec<_> = verdicts(results)
        .iter()
        .map(|verdict| {
            json!({
                "target": verdict.what,
                "asked": verdict.bound.to_string(),
                "measured": verdict.measured.map(|(value, _)| value),
                "met": verdict.measured.map(|(_, met)| met),
            })
        })
        .collect();
    json!({"cases": cases, "single": results.singles(), "targets": targets, "missing": results.missing})
}
