use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes that a client may send for a handshake: the largest chain that is looked at, two hellos
/// with a post-quantum key share, and what frames them.
const MOST_RECEIVED: usize = 48 << 10;
/// Size of the first read. Most hellos are smaller.
const FIRST_READ: usize = 4 << 10;

/// A client's connection. Until the handshake is done it gives no more than [`MOST_RECEIVED`] bytes,
/// but for the rest of the last read.
#[derive(Debug)]
pub struct ClientStream<S> {
    inner: S,
    /// The first bytes that were not read by TLS yet.
    begin: Vec<u8>,
    /// Bytes that the client has sent in the handshake.
    received: usize,
    in_handshake: bool,
}

/// The client sent too many bytes before the end of the handshake.
#[derive(Debug, thiserror::Error)]
#[error("the handshake has more than {MOST_RECEIVED} bytes")]
pub(super) struct TooManyBytes;

impl<S: AsyncRead + Unpin> ClientStream<S> {
    /// Waits for the first bytes of the client.
    pub(super) async fn begin(mut inner: S) -> Result<Self> {
        let mut begin = Vec::with_capacity(FIRST_READ);
        match inner.read_buf(&mut begin).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            received => Ok(Self {
                inner,
                begin,
                received,
                in_handshake: true,
            }),
        }
    }
}

impl<S> ClientStream<S> {
    pub(super) const fn handshake_is_done(&mut self) {
        self.in_handshake = false;
    }

    /// The connection below.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if !self.begin.is_empty() {
            let given = self.begin.len().min(buffer.remaining());
            buffer.put_slice(&self.begin[..given]);
            self.begin.drain(..given);
            return Poll::Ready(Ok(()));
        }
        if !self.in_handshake {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        if self.received >= MOST_RECEIVED {
            return Poll::Ready(Err(Error::other(TooManyBytes)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.received += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
