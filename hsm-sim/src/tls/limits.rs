//! How long we wait for the other side.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use rustls::{ConnectionCommon, SideData};

/// For a connection to come about, and again for its whole handshake.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Calls may take as long as they like, but a peer whose machine vanished is noticed within a
/// minute: it neither holds a place at the daemon nor blocks a client for ever.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(tcp, 3)?;
    Ok(())
}

/// The whole handshake in the time allowed, also with a peer that sends a byte now and then.
pub(crate) fn handshake<S: SideData>(
    connection: &mut ConnectionCommon<S>,
    tcp: &TcpStream,
) -> io::Result<()> {
    let mut limited = Limited {
        tcp,
        until: now() + WAIT_LIMIT,
    };
    while connection.is_handshaking() || connection.wants_write() {
        connection.complete_io(&mut limited)?;
    }
    tcp.set_read_timeout(None)?;
    tcp.set_write_timeout(None)
}

#[expect(
    clippy::disallowed_methods,
    reason = "limits a wait; nothing is decided by it that lasts"
)]
fn now() -> Instant {
    Instant::now()
}

struct Limited<'a> {
    tcp: &'a TcpStream,
    until: Instant,
}

impl Limited<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(now());
        // The system takes a timeout of zero for none.
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

/// A timeout of the socket looks as if it were not to block.
fn plain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(self.left()?)?;
        self.tcp.read(buffer).map_err(plain)
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(self.left()?)?;
        self.tcp.write(buffer).map_err(plain)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
