use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::Measured;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Case {
    /// The name of the case.
    pub(super) name: &'static str,
    /// The number of connections.
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
        Some(medians(self.rounds_of(name, connections)?))
    }

    /// The median over the rounds of `figure` of one case divided by that of another in the same
    /// round: what disturbs the machine for a while disturbs both.
    pub(super) fn ratio(
        &self,
        [of, to]: [&str; 2],
        connections: usize,
        figure: fn(&Measured) -> f64,
    ) -> Option<f64> {
        median(self.ratios([of, to], connections, figure)?)
    }

    /// The same of each round, the lowest first.
    pub(super) fn ratios(
        &self,
        [of, to]: [&str; 2],
        connections: usize,
        figure: fn(&Measured) -> f64,
    ) -> Option<Vec<f64>> {
        let pairs = self
            .rounds_of(of, connections)?
            .iter()
            .zip(self.rounds_of(to, connections)?);
        let mut ratios: Vec<_> = pairs.map(|(of, to)| figure(of) / figure(to)).collect();
        ratios.sort_by(f64::total_cmp);
        Some(ratios)
    }

    fn rounds_of(&self, name: &str, connections: usize) -> Option<&[Measured]> {
        let (_, rounds) = self
            .rounds
            .iter()
            .find(|(case, _)| case.name == name && case.connections == connections)?;
        Some(rounds)
    }

    /// Every case with its medians.
    pub(super) fn medians(&self) -> impl Iterator<Item = (&Case, Measured)> {
        self.rounds
            .iter()
            .map(|(case, rounds)| (case, medians(rounds)))
    }
}

fn medians(rounds: &[Measured]) -> Measured {
    let median_of =
        |figure: fn(&Measured) -> f64| median(rounds.iter().map(figure)).unwrap_or_default();
    Measured {
        throughput: median_of(|round| round.throughput),
        p50: median_of(|round| round.p50),
        p99: median_of(|round| round.p99),
        server_cpu: median_of(|round| round.server_cpu),
        server_sleeps: median_of(|round| round.server_sleeps),
        children_cpu: median_of(|round| round.children_cpu),
        generator_cpu: median_of(|round| round.generator_cpu),
        disk: median(rounds.iter().filter_map(|round| round.disk)),
    }
}

/// Of an even number the lower: no mean of two runs that never was.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
pub(super) fn measured(throughput: f64) -> Measured {
    Measured {
        throughput,
        p50: 1.0,
        p99: 1.0,
        server_cpu: 1.0,
        server_sleeps: 0.0,
        children_cpu: 0.0,
        generator_cpu: 1.0,
        disk: None,
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

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut results = Results::default();
        // In the second round the machine was twice as slow, in the third three times.
        for (name, rounds) in [("a", [90.0, 45.0, 30.0]), ("b", [100.0, 50.0, 33.0])] {
            for throughput in rounds {
                let case = Case {
                    name,
                    connections: 1,
                };
                results.add(case, measured(throughput));
            }
        }
        let ratio = results.ratio(["a", "b"], 1, |it| it.throughput);
        assert_eq!(ratio, Some(0.9));
        let ratios = results.ratios(["a", "b"], 1, |it| it.server_cpu);
        assert_eq!(ratios, Some(vec![1.0; 3]));
        assert_eq!(results.ratio(["a", "c"], 1, |it| it.throughput), None);
    }
}
