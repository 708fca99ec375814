//! The TCP connection below TLS, which is closed so that what was sent arrives: a socket that is
//! closed with unread bytes in it answers with a reset, and a reset takes back what its peer has not
//! read yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a closed connection is read on.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// How much of it is read and thrown away.
const CLOSE_BYTES: usize = 64 << 20;
/// As much at once.
const CLOSE_BUFFER: usize = 16 << 10;

/// A connection. Whoever drops it, at whatever point, closes it in order: no more is sent, what still
/// comes is thrown away until the peer has closed too or the time is up. `P` is what the connection
/// occupies, which is free after that.
pub(crate) struct Socket<P: Send + 'static> {
    /// Until it is dropped.
    open: Option<(TcpStream, P)>,
    runtime: Handle,
    /// The peer sends no more, or is gone: nothing is left to wait for.
    ended: bool,
}

impl<P: Send + 'static> Socket<P> {
    /// Within the runtime that closes it.
    pub(crate) fn new(stream: TcpStream, place: P) -> Self {
        // Answers are small and whole: waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        Self {
            open: Some((stream, place)),
            runtime: Handle::current(),
            ended: false,
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let open = self.open.as_mut().map(|(stream, _)| Pin::new(stream));
        open.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<P: Send + 'static> Drop for Socket<P> {
    fn drop(&mut self) {
        if let Some((stream, place)) = self.open.take()
            && !self.ended
        {
            self.runtime.spawn(async move {
                close(stream).await;
                drop(place);
            });
        }
    }
}

/// Closes in order, within bounds.
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

impl<P: Send + Unpin + 'static> AsyncRead for Socket<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(self.stream()?.poll_read(context, buffer));
        let nothing = buffer.filled().len() == before && buffer.remaining() > 0;
        self.ended |= nothing || read.is_err();
        Poll::Ready(read)
    }
}

impl<P: Send + Unpin + 'static> AsyncWrite for Socket<P> {
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

    async fn connected<P: Send + 'static>(place: P) -> (Socket<P>, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, client) = tokio::join!(listener.accept(), TcpStream::connect(address));
        (Socket::new(accepted.unwrap().0, place), client.unwrap())
    }

    #[tokio::test]
    async fn what_was_sent_arrives_although_more_came_than_was_read() {
        for _ in 0..20 {
            let (mut socket, mut client) = connected(()).await;
            client.write_all(&[1; 100_000]).await.unwrap();
            socket.write_all(b"the answer").await.unwrap();
            drop(socket);
            // What is sent now finds nobody, and must not take the answer back.
            client.write_all(&[2; 100_000]).await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"the answer");
        }
    }

    #[tokio::test]
    async fn its_place_is_free_once_the_peer_has_closed() {
        let (place, mut free) = tokio::sync::mpsc::channel::<()>(1);
        let (socket, client) = connected(place).await;
        drop(socket);
        assert!(free.try_recv() == Err(tokio::sync::mpsc::error::TryRecvError::Empty));
        drop(client);
        assert_eq!(free.recv().await, None);
    }

    #[tokio::test]
    async fn a_peer_that_goes_on_keeps_its_place_for_a_while_only() {
        let (place, mut free) = tokio::sync::mpsc::channel::<()>(1);
        let (socket, mut client) = connected(place).await;
        let sending =
            tokio::spawn(async move { while client.write_all(&[0; 1_000]).await.is_ok() {} });
        drop(socket);
        assert_eq!(free.recv().await, None);
        sending.await.unwrap();
    }
}
