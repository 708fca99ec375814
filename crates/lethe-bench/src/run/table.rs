//! What the run found, for people and for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::results::Results;
use super::targets::{Target, share, verdicts};

/// Another case, to whose throughput each case's is compared in a column.
pub(super) struct Beside {
    pub(super) title: &'static str,
    pub(super) case: &'static str,
}

/// Prints the medians of all cases.
pub(super) fn print_cases(
    out: &mut dyn Write,
    results: &Results,
    beside: &[Beside],
) -> io::Result<()> {
    write!(
        out,
        "\n{:<29}{:>5}{:>11}{:>10}{:>10}{:>9}{:>8}{:>8}{:>8}",
        "", "conns", "ops/s", "p50 us", "p99 us", "CPU us", "sleeps", "HSM us", "gen us"
    )?;
    for other in beside {
        write!(out, "{:>10}", other.title)?;
    }
    writeln!(out)?;
    for (case, figures) in results.medians() {
        write!(
            out,
            "{:<29}{:>5}{:>11.0}{:>10.0}{:>10.0}{:>9.1}{:>8.2}{:>8.1}{:>8.1}",
            case.name,
            case.connections,
            figures.throughput,
            figures.p50,
            figures.p99,
            figures.server_cpu,
            figures.server_sleeps,
            figures.children_cpu,
            figures.generator_cpu,
        )?;
        for other in beside {
            let ratio = share(results, case.name, other.case, case.connections);
            write!(out, "{:>10}", shown(ratio))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Prints how far the rounds' ratios of `of` to `to` lie apart, at each number of connections.
pub(super) fn print_spread(
    out: &mut dyn Write,
    results: &Results,
    [of, to]: [&str; 2],
) -> io::Result<()> {
    writeln!(
        out,
        "\n{:<29}{:>5}{:>8}{:>8}{:>8}{:>8}",
        format!("{of} / {to}"),
        "conns",
        "rounds",
        "lowest",
        "median",
        "highest"
    )?;
    for (case, _) in results.medians().filter(|(case, _)| case.name == of) {
        let ratios = results.ratios([of, to], case.connections, |it| it.throughput);
        let Some(ratios) = ratios.filter(|ratios| ratios.len() > 1) else {
            continue;
        };
        let (lowest, highest) = (ratios.first().copied(), ratios.last().copied());
        let median = results.ratio([of, to], case.connections, |it| it.throughput);
        writeln!(
            out,
            "{:<29}{:>5}{:>8}{:>8}{:>8}{:>8}",
            "",
            case.connections,
            ratios.len(),
            shown(lowest),
            shown(median),
            shown(highest)
        )?;
    }
    Ok(())
}

/// Prints what was measured once, the targets, and what is missing.
pub(super) fn print_rest(
    out: &mut dyn Write,
    results: &Results,
    targets: &[Target],
) -> io::Result<()> {
    for (name, value) in results.singles() {
        writeln!(out, "{name}: {value:.1}")?;
    }
    writeln!(out, "\n{:<53}{:>12}{:>12}", "target", "asked", "measured")?;
    for verdict in verdicts(results, targets) {
        let measured = verdict.measured.map(|(value, _)| value);
        let word = match verdict.measured {
            Some((_, true)) => "met",
            Some((_, false)) => "MISSED",
            None => "not measured",
        };
        writeln!(
            out,
            "{:<53}{:>12}{:>12}  {word}",
            verdict.what,
            verdict.bound.to_string(),
            shown(measured)
        )?;
    }
    for missing in &results.missing {
        writeln!(out, "not measured: {missing}")?;
    }
    Ok(())
}

/// Or a dash.
pub(super) fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// The same as JSON.
pub(super) fn json(results: &Results, targets: &[Target]) -> Value {
    let cases: Vec<_> = results
        .medians()
        .map(|(case, figures)| json!({"case": case, "figures": figures}))
        .collect();
    let targets: Vec<_> = verdicts(results, targets)
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
