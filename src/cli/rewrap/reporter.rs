use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::lines::Bad;
use crate::cli::output::printable;
use crate::observability::logging;

/// Bad lines that are printed one by one. The others are only counted.
const MAX_PRINTED: u32 = 100;

/// Prints progress and bad lines on standard error.
pub(super) struct Reporter {
    bar: ProgressBar,
    file: String,
    bad_lines: u32,
}

impl Reporter {
    /// For a file of `bytes` bytes, of which `done` are done.
    pub(super) fn new(file: String, bytes: u64, done: u64) -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::new(bytes).with_position(done);
        let style = ProgressStyle::with_template("{bar:40} {percent}% {msg} {elapsed}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            file,
            bad_lines: 0,
        }
    }

    pub(super) fn progress(&self, bytes: usize, lines: u64) {
        self.bar.inc(bytes as u64);
        self.bar.set_message(format!("{lines} lines"));
    }

    pub(super) fn bad(&mut self, line: u64, bad: &Bad) {
        self.bad_lines += 1;
        if self.bad_lines <= MAX_PRINTED {
            let Bad { code, detail } = bad;
            self.say(&format!("lethe: {}:{line}: {code}: {detail}", self.file));
        } else if self.bad_lines == MAX_PRINTED + 1 {
            self.say("lethe: more bad lines are counted, not printed");
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| logging::say(&printable(text)));
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
