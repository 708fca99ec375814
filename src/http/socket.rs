//! The TCP connection below TLS. It is closed so that the last answer arrives: closing a socket that has
//! unread bytes sends a reset, and a reset discards what the peer has not read yet. It is read no faster
//! than its requests account for, because HTTP/2 frames that belong to no request (PING, SETTINGS,
//! PRIORITY, empty DATA and others) also cost time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::admission::Connection;

/// How long a closed connection is still read.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// How many bytes of it are read and discarded.
const CLOSE_BYTES: usize = 64 << 20;
/// Size of one such read.
const CLOSE_BUFFER: usize = 16 << 10;

/// Bytes that may be read beyond those that requests account for: windows, heads and a handshake.
const SLACK: u64 = 512 << 10;
/// Additional bytes for each second.
const SLACK_PER_SECOND: u64 = 4 << 10;
/// Smallest allowance that is added at once.
const LEAST: u64 = 1 << 10;
/// Wait before the allowance is computed again.
const REFILL_INTERVAL: Duration = Duration::from_millis(250);

/// A connection. Dropping it at any point closes it in order: nothing more is sent, and what still arrives
/// is discarded until the peer has closed too or the time is up. `S` is the seat that the connection
/// occupies. It is free after that.
pub(crate) struct Socket<S: Send + 'static> {
    /// The stream and its seat. `None` after the socket was dropped.
    open: Option<(TcpStream, S)>,
    connection: Arc<Connection>,
    runtime: Handle,
    /// The peer has closed its side or is gone, so closing need not wait for it.
    ended: bool,
    allowance: Allowance,
}

/// How many bytes may be read before the allowance is computed again.
struct Allowance {
    /// Bytes left. Negative when a read returned more than the allowance.
    left: i64,
    accounted: u64,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Allowance {
    fn new() -> Self {
        Self {
            left: SLACK as i64,
            accounted: 0,
            since: Instant::now(),
            timer: None,
        }
    }

    /// Ready when bytes may be read.
    fn poll(&mut self, connection: &Connection, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.left > 0 {
                return Poll::Ready(());
            }
            self.refill(connection);
            if self.left <= 0 {
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep(REFILL_INTERVAL)));
                ready!(timer.as_mut().poll(context));
                self.timer = None;
            }
        }
    }

    fn refill(&mut self, connection: &Connection) {
        let accounted = connection.accounted();
        let millis = self.since.elapsed().as_millis() as u64;
        let more = accounted - self.accounted + millis * SLACK_PER_SECOND / 1_000;
        // Not for every few bytes.
        if more >= LEAST {
            self.since = Instant::now();
            self.accounted = accounted;
            self.left = self.left.saturating_add(more as i64).min(SLACK as i64);
        }
    }
}

impl<S: Send + 'static> Socket<S> {
    /// Must be called within a runtime, which closes the socket later.
    pub(crate) fn new(stream: TcpStream, connection: Arc<Connection>, seat: S) -> Self {
        // Answers are small and written at once: waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        Self {
            open: Some((stream, seat)),
            connection,
            runtime: Handle::current(),
            ended: false,
            allowance: Allowance::new(),
        }
    }

    /// Goes on in the runtime of the caller, which watches it from now on and closes it.
    pub(crate) fn move_here(&mut self) -> io::Result<()> {
        if let Some((stream, seat)) = self.open.take() {
            let stream = TcpStream::from_std(stream.into_std()?)?;
            self.open = Some((stream, seat));
        }
        self.runtime = Handle::current();
        self.allowance.timer = None;
        Ok(())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let open = self.open.as_mut().map(|(stream, _)| Pin::new(stream));
        open.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: Send + 'static> Drop for Socket<S> {
    fn drop(&mut self) {
        if let Some((stream, seat)) = self.open.take()
            && !self.ended
            && !self.connection.is_evicted()
        {
            let connection = Arc::clone(&self.connection);
            connection.set_waiting(true);
            self.runtime.spawn(async move {
                tokio::select! {
                    () = close(stream) => {}
                    () = connection.evicted() => {}
                }
                drop(seat);
            });
        }
    }
}

/// Closes in order, within bounds of time and bytes.
async fn close(mut stream: TcpStream) {
    let _ = timeout(CLOSE_TIME, async {
        stream.shutdown().await?;
        let mut buffer = vec![0; CLOSE_BUFFER];
        let mut left = CLOSE_BYTES;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    })
    .await;
}

impl<S: Send + Unpin + 'static> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.allowance.poll(&this.connection, context).is_pending() {
            this.connection.set_waiting(true);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = this.stream()?.poll_read(context, buffer);
        this.connection.set_waiting(polled.is_pending());
        let read = ready!(polled);
        let received = (buffer.filled().len() - before) as u64;
        let nothing = received == 0 && buffer.remaining() > 0;
        this.ended |= nothing || read.is_err();
        this.connection.received(received);
        this.allowance.left -= received as i64;
        Poll::Ready(read)
    }
}

impl<S: Send + Unpin + 'static> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn connected<S: Send + 'static>(seat: S) -> (Socket<S>, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, client) = tokio::join!(listener.accept(), TcpStream::connect(address));
        let socket = Socket::new(accepted.unwrap().0, Arc::default(), seat);
        (socket, client.unwrap())
    }

    #[tokio::test]
    async fn what_was_sent_arrives_although_more_came_than_was_read() {
        for _ in 0..20 {
            let (mut socket, mut client) = connected(()).await;
            client.write_all(&[1; 100_000]).await.unwrap();
            socket.write_all(b"the answer").await.unwrap();
            drop(socket);
            // Nobody reads what is sent now. It must not cause a reset that discards the answer.
            client.write_all(&[2; 100_000]).await.unwrap();
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"the answer");
        }
    }

    #[tokio::test]
    async fn its_seat_is_free_once_the_peer_has_closed() {
        let (seat, mut free) = tokio::sync::mpsc::channel::<()>(1);
        let (socket, client) = connected(seat).await;
        drop(socket);
        assert!(free.try_recv() == Err(tokio::sync::mpsc::error::TryRecvError::Empty));
        drop(client);
        assert_eq!(free.recv().await, None);
    }

    #[tokio::test]
    async fn a_peer_that_goes_on_keeps_its_seat_for_a_while_only() {
        let (seat, mut free) = tokio::sync::mpsc::channel::<()>(1);
        let (socket, mut client) = connected(seat).await;
        let sending =
            tokio::spawn(async move { while client.write_all(&[0; 1_000]).await.is_ok() {} });
        drop(socket);
        assert_eq!(free.recv().await, None);
        sending.await.unwrap();
    }

    /// Reads until that many bytes have arrived or the time is up.
    async fn read_to(socket: &mut Socket<()>, bytes: u64, time: Duration) -> u64 {
        let connection = Arc::clone(&socket.connection);
        let mut buffer = vec![0; 16 << 10];
        let _ = timeout(time, async {
            while connection.all_received() < bytes {
                assert!(socket.read(&mut buffer).await.unwrap() > 0);
            }
        })
        .await;
        connection.all_received()
    }

    #[tokio::test]
    async fn what_no_request_accounts_for_is_read_slowly() {
        let (mut socket, mut client) = connected(()).await;
        let flood = async move { while client.write_all(&[0; 4_096]).await.is_ok() {} };
        let flood = tokio::spawn(flood);
        let begun = Instant::now();
        let received = read_to(&mut socket, 3 * SLACK, Duration::from_secs(1)).await;
        let by_time = (begun.elapsed().as_secs() + 1) * SLACK_PER_SECOND;
        assert!(received <= SLACK + by_time + (16 << 10), "{received}");
        // Bytes of a body that was read are accounted for.
        socket.connection.took_body(8 * SLACK);
        let received = read_to(&mut socket, 2 * SLACK, Duration::from_secs(30)).await;
        assert!(received >= 2 * SLACK, "{received}");
        flood.abort();
    }

    #[tokio::test]
    async fn an_evicted_connection_is_closed_at_once() {
        let (seat, mut free) = tokio::sync::mpsc::channel::<()>(1);
        let (socket, _client) = connected(seat).await;
        socket.connection.evict();
        drop(socket);
        assert_eq!(
            free.try_recv(),
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected)
        );
    }
}
