//! One line a day: how many of each age opened.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::Posted;
use super::calendar::Calendar;
use super::verdict::{Count, Tally};
use crate::cli::{Output, ReplayArguments};

/// Cells of a bar.
const WIDTH: usize = 4;

/// A day of the replay is over.
#[derive(Debug, Clone, Copy)]
pub struct DayEnd {
    /// From 0.
    pub day: u32,
    /// Messages sent on it.
    pub sent: usize,
}

/// How many opened, by age.
#[derive(Debug, Clone, Default)]
pub struct Ages {
    /// By age in days.
    pub by_day: Vec<Count>,
    /// All older ones.
    pub older: Count,
    /// Of shredded rooms.
    pub shredded: Count,
}

impl Ages {
    /// With so many columns before the last.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self {
            by_day: vec![Count::default(); columns],
            ..Self::default()
        }
    }

    /// The column of an age in days.
    pub fn of_days(&mut self, age: usize) -> &mut Count {
        self.by_day.get_mut(age).unwrap_or(&mut self.older)
    }

    /// `age 0 ████ 40/40  1 ████ 38/38  2+ ···· 0/40`
    #[must_use]
    pub fn line(&self) -> String {
        let named = self.by_day.iter().enumerate();
        let mut columns: Vec<_> = named
            .map(|(age, count)| column(&age.to_string(), *count))
            .collect();
        columns.push(column(&format!("{}+", self.by_day.len()), self.older));
        if self.shredded.read > 0 {
            columns.push(column("shredded", self.shredded));
        }
        format!("age {}", columns.join("  "))
    }

    fn json(&self) -> Value {
        json!({
            "by_day": self.by_day.iter().map(numbers).collect::<Vec<_>>(),
            "older": numbers(&self.older),
            "shredded": numbers(&self.shredded),
        })
    }
}

fn column(name: &str, count: Count) -> String {
    if count.read == 0 {
        return format!("{name} {:>width$}", "-", width = WIDTH + 6);
    }
    // Full only when all opened, empty only when none did.
    let full = match count {
        Count { opened: 0, .. } => 0,
        Count { read, opened } if opened == read => WIDTH,
        Count { read, opened } => (opened * WIDTH / read).clamp(1, WIDTH - 1),
    };
    let bar = "█".repeat(full) + &"·".repeat(WIDTH - full);
    format!(
        "{name} {bar} {:>5}",
        format!("{}/{}", count.opened, count.read)
    )
}

fn numbers(count: &Count) -> Value {
    json!({"read": count.read, "opened": count.opened})
}

/// Prints days as they end; with a bar for the progress on a terminal.
pub(super) struct Printer {
    output: Output,
    calendar: Calendar,
    bar: ProgressBar,
}

impl Printer {
    pub(super) fn new(arguments: &ReplayArguments, calendar: Calendar) -> Self {
        let bar = match arguments.days {
            0 => ProgressBar::no_length(),
            days => ProgressBar::new(days.into()),
        };
        if arguments.output == Output::Json || !io::stdout().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{bar:30} day {pos} of {len}, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            output: arguments.output,
            calendar,
            bar,
        }
    }

    pub(super) fn day(&mut self, end: &DayEnd, ages: &Ages) -> io::Result<()> {
        let (number, date) = (end.day + 1, self.calendar.date(end.day));
        let line = match self.output {
            Output::Text => format!(
                "day {number:>3} {date} {:>5} sent  {}",
                end.sent,
                ages.line()
            ),
            Output::Json => {
                json!({"day": number, "date": date, "sent": end.sent, "ages": ages.json()})
                    .to_string()
            }
        };
        self.bar.suspend(|| writeln!(io::stdout(), "{line}"))?;
        self.bar.inc(1);
        Ok(())
    }

    pub(super) fn end(&self, ages: &Ages) -> io::Result<()> {
        self.bar.finish_and_clear();
        let out = &mut io::stdout();
        match self.output {
            Output::Text => writeln!(out, "when all retention has ended        {}", ages.line()),
            Output::Json => writeln!(out, "{}", json!({"after_all": ages.json()})),
        }
    }
}

impl Tally {
    /// Prints the summary; true if every promise held.
    ///
    /// # Errors
    /// Of standard output.
    pub(super) fn conclude(&self, posted: &Posted, output: Output) -> io::Result<bool> {
        let mut broken = self.broken();
        if let Some(first) = posted.failures.first() {
            let count = posted.failures.len();
            broken.push(format!("{count} messages were not stored: {first}"));
        }
        match output {
            Output::Text => self.print(posted, &broken)?,
            Output::Json => writeln!(io::stdout(), "{}", self.summary(posted, &broken))?,
        }
        Ok(broken.is_empty())
    }

    fn print(&self, posted: &Posted, broken: &[String]) -> io::Result<()> {
        let out = &mut io::stdout();
        writeln!(out, "\n{} messages stored", posted.stored)?;
        for (what, count, must) in [
            ("within their retention", self.living, "all must open"),
            ("around its end", self.ending, "either way"),
            ("after their retention", self.expired, "none may open"),
            ("of shredded rooms", self.shredded, "none may open"),
        ] {
            if count.read > 0 {
                writeln!(
                    out,
                    "read {what}: {} of {} opened ({must})",
                    count.opened, count.read
                )?;
            }
        }
        if posted.behind > Duration::from_secs(1) {
            let seconds = posted.behind.as_secs_f64();
            writeln!(
                out,
                "the replay fell behind its time by up to {seconds:.1} s"
            )?;
        }
        for promise in broken {
            writeln!(out, "BROKEN: {promise}")?;
        }
        if broken.is_empty() {
            writeln!(out, "every check held")?;
        }
        Ok(())
    }

    fn summary(&self, posted: &Posted, broken: &[String]) -> Value {
        json!({"summary": {
            "stored": posted.stored,
            "behind_seconds": posted.behind.as_secs_f64(),
            "living": numbers(&self.living), "ending": numbers(&self.ending),
            "expired": numbers(&self.expired), "shredded": numbers(&self.shredded),
            "broken": broken,
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_each_age() {
        let count = |opened, read| Count { read, opened };
        let ages = Ages {
            by_day: vec![count(40, 40), count(39, 40), count(1, 40)],
            older: count(0, 41),
            shredded: count(0, 0),
        };
        assert_eq!(
            ages.line(),
            "age 0 ████ 40/40  1 ███· 39/40  2 █···  1/40  3+ ····  0/41"
        );
        assert_eq!(Ages::new(1).line(), "age 0          -  1+          -");
    }
}
