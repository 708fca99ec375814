use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::lines::Bad;
use crate::cli::output::printable;
use crate::observability::logging;

/// Bad lines that are told one by one: a million of them would help nobody.
const MOST_TOLD: u32 = 100;

/// What is said while it runs, on standard error.
pub(super) struct Teller {
    bar: ProgressBar,
    file: String,
    told: u32,
}

impl Teller {
    /// For a file of so many bytes, of which so many are done.
    pub(super) fn new(file: String, bytes: u64, done: u64) -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::new(bytes).with_position(done);
        let style = ProgressStyle::with_template("{bar:40} {percent}% {msg} {elapsed}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, file, told: 0 }
    }

    pub(super) fn progress(&self, bytes: usize, lines: u64) {
        self.bar.inc(bytes as u64);
        self.bar.set_message(format!("{lines} lines"));
    }

    pub(super) fn bad(&mut self, line: u64, bad: &Bad) {
        self.told += 1;
        if self.told <= MOST_TOLD {
            let Bad { code, detail } = bad;
            self.say(&format!("lethe: {}:{line}: {code}: {detail}", self.file));
        } else if self.told == MOST_TOLD + 1 {
            self.say("lethe: more bad lines are counted, not told");
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| logging::say(&printable(text)));
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
