use std::io::{IsTerminal, stdin};
use std::sync::mpsc::Sender;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP: from an operator it means "read the configuration", from a terminal that is closing it
/// means the end, as it does for every program.
pub struct Hangup {
    signal: Signal,
    on_terminal: bool,
    reload: Sender<()>,
}

impl Hangup {
    /// Handles SIGHUP from now on, so that it does not end the process.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn new(reload: Sender<()>) -> std::io::Result<Self> {
        Ok(Self {
            signal: signal(SignalKind::hangup())?,
            on_terminal: stdin().is_terminal(),
            reload,
        })
    }

    /// Asks for a reload at every signal; ends when the terminal is gone.
    pub async fn terminal_gone(&mut self) {
        while self.signal.recv().await.is_some() {
            // A terminal that has hung up does not say any more that it is one.
            if self.on_terminal && !stdin().is_terminal() {
                return;
            }
            // The thread may have ended: then nothing is to be read.
            let _ = self.reload.send(());
        }
        std::future::pending().await
    }
}
