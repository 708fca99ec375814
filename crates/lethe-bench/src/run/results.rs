use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::Measured;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Case {
    /// What is measured.
    pub(super) name: &'static str,
    /// Over how many connections.
    pub(super) connections: usize,
}

/// Everything measured in one run.
#[derive(Default)]
pub(super) struct Results {
    rounds: BTreeMap<Case, Vec<Measured>>,
    single: BTreeMap<&'static str, f64>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
}

impl Results {
    /// Adds a round of a case.
    pub(super) fn add(&mut self, case: Case, measured: Measured) {
        self.rounds.entry(case).or_default().push(measured);
    }

    /// Notes what is measured once.
    pub(super) fn note(&mut self, name: &'static str, value: f64) {
        self.single.insert(name, value);
    }

    /// What was measured once.
    pub(super) fn single(&self, name: &str) -> Option<f64> {
        self.single.get(name).copied()
    }

    /// What was measured once, all of it.
    pub(super) fn singles(&self) -> &BTreeMap<&'static str, f64> {
        &self.single
    }

    /// Each figure's median over the rounds; none when the case was not run.
    pub(super) fn median(&self, name: &str, connections: usize) -> Option<Measured> {
        let (_, rounds) = self
            .rounds
            .iter()
            .find(|(case, _)| case.name == name && case.connections == connections)?;
        Some(medians(rounds))
    }

    /// Every case with its medians.
    pub(super) fn medians(&self) -> impl Iterator<Item = (&Case, Measured)> {
        self.rounds
            .iter()
            .map(|(case, rounds)| (case, medians(rounds)))
    }
}

fn medians(rounds: &[Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        // Of an even number the lower: no mean of two runs that never was.
        values[(values.len() - 1) / 2]
    };
    Measured {
        throughput: of(|round| round.throughput),
        p50: of(|round| round.p50),
        p99: of(|round| round.p99),
        server_cpu: of(|round| round.server_cpu),
        children_cpu: of(|round| round.children_cpu),
        generator_cpu: of(|round| round.generator_cpu),
    }
}

#[cfg(test)]
pub(super) fn measured(throughput: f64) -> Measured {
    Measured {
        throughput,
        p50: 1.0,
        p99: 1.0,
        server_cpu: 1.0,
        children_cpu: 0.0,
        generator_cpu: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_does_not_move_the_median() {
        let mut results = Results::default();
        for throughput in [10.0, 1_000.0, 11.0] {
            let case = Case {
                name: "control",
                connections: 16,
            };
            results.add(case, measured(throughput));
        }
        assert_eq!(results.median("control", 16).unwrap().throughput, 11.0);
        assert!(results.median("control", 64).is_none());
    }
}
