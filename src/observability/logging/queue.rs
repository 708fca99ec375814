//! A thread writes lines to standard error, so that code that logs never waits for the reader.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Bytes that may wait; a line beyond them is lost.
const MOST_BYTES: usize = 4 << 20;

static QUEUE: Queue = Queue::new();

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the thread that writes lines is started.
    served: bool,
    /// Whether a line is being written now.
    writing: bool,
    lost: u64,
    /// Number of lost lines that were reported.
    reported: u64,
}

struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

impl Queue {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                served: false,
                writing: false,
                lost: 0,
                reported: 0,
            }),
            filled: Condvar::new(),
            drained: Condvar::new(),
        }
    }

    /// Adds a line. False if no thread serves the queue: then the line is not added.
    fn push(&self, line: &[u8]) -> bool {
        let mut state = self.state.lock();
        if !state.served {
            return false;
        }
        if state.bytes + line.len() > MOST_BYTES {
            state.lost += 1;
        } else {
            state.bytes += line.len();
            state.lines.push_back(line.to_vec());
            self.filled.notify_one();
        }
        true
    }

    fn serve(&self, mut write: impl FnMut(&[u8]), mut report: impl FnMut(u64)) {
        loop {
            let mut state = self.state.lock();
            let line = loop {
                if let Some(line) = state.lines.pop_front() {
                    break line;
                }
                let lost = state.lost - state.reported;
                if lost > 0 {
                    state.reported = state.lost;
                    // The number of lost lines is logged, and so added to this queue.
                    parking_lot::MutexGuard::unlocked(&mut state, || report(lost));
                    continue;
                }
                self.drained.notify_all();
                self.filled.wait(&mut state);
            };
            state.bytes -= line.len();
            state.writing = true;
            drop(state);
            write(&line);
            self.state.lock().writing = false;
        }
    }

    fn flush(&self, most: Duration) {
        let busy = |state: &mut State| state.served && (state.writing || !state.lines.is_empty());
        self.drained
            .wait_while_for(&mut self.state.lock(), busy, most);
    }
}

/// Starts the thread, once.
pub(super) fn start() -> io::Result<()> {
    let mut state = QUEUE.state.lock();
    if !state.served {
        // It does not use `io::stderr`, whose lock would be held while nobody reads.
        let mut out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let write = move |line: &[u8]| {
            // If nobody reads any more, the write fails, and the service goes on without a log.
            let _ = out.write_all(line);
        };
        std::thread::Builder::new()
            .name("lethe-log".into())
            .spawn(|| QUEUE.serve(write, report))?;
        state.served = true;
    }
    Ok(())
}

fn report(lost: u64) {
    tracing::warn!(
        lost,
        "lines of this log were lost: nobody read them in time"
    );
}

/// Where the formatter writes each line.
pub(super) struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line that is no event of the log; false where logging was not started.
pub(super) fn push(line: &str) -> bool {
    QUEUE.push(line.as_bytes())
}

/// Waits until all lines are written, but no longer than `limit`.
pub(super) fn flush(most: Duration) {
    QUEUE.flush(most);
}

/// Lines that were lost since the start.
pub(super) fn lost() -> u64 {
    QUEUE.state.lock().lost
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_writer_that_hangs_costs_lines_and_no_time_and_is_told_once_it_goes_on() {
        static HELD: Queue = Queue::new();
        HELD.state.lock().served = true;
        let (go_on, wait) = channel::<()>();
        let (written, lines) = channel();
        let (reported, reports) = channel();
        std::thread::spawn(move || {
            let write = |line: &[u8]| {
                // Fails when the sender is gone: from then on it does not hang.
                let _ = wait.recv();
                written.send(line.len()).unwrap();
            };
            HELD.serve(write, |lost| reported.send(lost).unwrap());
        });
        let line = vec![b'x'; 1 << 10];
        let pushes = 3 * MOST_BYTES / line.len();
        for _ in 0..pushes {
            assert!(HELD.push(&line));
        }
        // Bounded, though nothing moves.
        HELD.flush(Duration::from_millis(1));
        let lost = HELD.state.lock().lost;
        assert!(lost > 0 && lost < pushes as u64, "{lost}");
        drop(go_on);
        assert_eq!(reports.recv().unwrap(), lost);
        HELD.flush(Duration::from_secs(60));
        assert_eq!(lines.try_iter().count() as u64 + lost, pushes as u64);
    }

    #[test]
    fn without_a_thread_nothing_is_kept() {
        let queue = Queue::new();
        assert!(!queue.push(b"line"));
        queue.flush(Duration::from_secs(60));
        assert!(queue.state.lock().lines.is_empty());
    }
}
