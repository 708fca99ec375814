use std::io::{self, Write};

use super::check::Outcome;

/// Prints a table, what each attacker got, and the bounds that were broken.
pub(super) fn print(out: &mut dyn Write, outcomes: &[Outcome]) -> io::Result<()> {
    writeln!(
        out,
        "\n{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}{:>8}",
        "good client, ms",
        "p50",
        "during",
        "p99",
        "during",
        "connect",
        "failed",
        "MB",
        "log KB/s",
        "late s"
    )?;
    outcomes.iter().try_for_each(|outcome| row(out, outcome))?;
    writeln!(out)?;
    for outcome in outcomes {
        let got: Vec<_> = outcome
            .gained
            .counts
            .iter()
            .map(|(what, number)| format!("{number} {what}"))
            .collect();
        let skipped = outcome
            .gained
            .skipped
            .map(|why| format!("not tried: {why}"));
        let got = skipped.unwrap_or_else(|| got.join(", "));
        writeln!(out, "{:<20} {got}", outcome.name)?;
        for broken in &outcome.broken {
            writeln!(out, "{:<20} BROKEN: {broken}", "")?;
        }
    }
    Ok(())
}

fn row(out: &mut dyn Write, outcome: &Outcome) -> io::Result<()> {
    let (before, during) = (&outcome.before, &outcome.during);
    let late = outcome
        .late
        .map_or("never".to_owned(), |late| format!("{late:.2}"));
    writeln!(
        out,
        "{:<20}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.1}{:>8}{:>8}{:>9}{:>8}",
        outcome.name,
        before.p50,
        during.p50,
        before.p99,
        during.p99,
        during.connection,
        during.failed,
        outcome.memory[1] >> 20,
        outcome.audit >> 10,
        late,
    )
}
