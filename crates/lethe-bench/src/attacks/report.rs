use super::check::Outcome;

/// Prints a table, what each attacker got, and the bounds that were broken.
pub(super) fn print(outcomes: &[Outcome]) {
    println!(
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
    );
    outcomes.iter().for_each(row);
    println!();
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
        println!("{:<20} {got}", outcome.name);
        for broken in &outcome.broken {
            println!("{:<20} BROKEN: {broken}", "");
        }
    }
}

fn row(outcome: &Outcome) {
    let (before, during) = (&outcome.before, &outcome.during);
    let late = outcome
        .late
        .map_or("never".to_owned(), |late| format!("{late:.2}"));
    println!(
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
    );
}
