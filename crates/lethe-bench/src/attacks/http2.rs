//! HTTP/2 by hand: what no well-behaved client library sends.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Gained;
use crate::identity::Endpoint;
use crate::load::handshake;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;

/// Types of frames (RFC 9113 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Headers = 1,
    Priority = 2,
    Reset = 3,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
}

/// A whole frame.
pub(super) fn frame(kind: Kind, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind as u8, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(content);
    frame
}

/// A whole GET on a stream. Fields without Huffman coding and without the table.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    const END_OF_STREAM_AND_HEADERS: u8 = 0x5;
    let mut fields = vec![0x82, 0x87];
    for (index, value) in [(0x04, path), (0x01, "localhost")] {
        fields.push(index);
        // Shorter than 127 bytes: one byte of length.
        fields.push(value.len() as u8);
        fields.extend_from_slice(value.as_bytes());
    }
    frame(Kind::Headers, END_OF_STREAM_AND_HEADERS, stream, &fields)
}

/// A connection.
pub(super) struct Http2(TlsStream<TcpStream>);

impl Http2 {
    /// Connects; `window` is the room that we give each answer's body.
    pub(super) async fn open(endpoint: &Endpoint, window: u32) -> io::Result<Self> {
        const INITIAL_WINDOW_SIZE: u16 = 4;
        let mut stream = handshake(&endpoint.with_http2()).await?;
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend_from_slice(&window.to_be_bytes());
        stream.write_all(PREFACE).await?;
        stream
            .write_all(&frame(Kind::Settings, 0, 0, &settings))
            .await?;
        Ok(Self(stream))
    }

    pub(super) async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.0.write_all(frames).await?;
        self.0.flush().await
    }

    /// Throws away what has come.
    pub(super) async fn read_what_is_there(&mut self) {
        let mut buffer = [0; 16 << 10];
        let at_once = std::time::Duration::from_millis(1);
        while let Ok(Ok(1..)) = tokio::time::timeout(at_once, self.0.read(&mut buffer)).await {}
    }

    /// Reads on until `end` or the end of the connection, and counts what comes.
    pub(super) async fn read_until(&mut self, end: Instant) -> Gained {
        let mut gained = Gained::default();
        let reading = async {
            loop {
                let mut head = [0; HEAD];
                self.0.read_exact(&mut head).await?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut content = vec![0; length as usize];
                self.0.read_exact(&mut content).await?;
                match head[3] {
                    kind if kind == Kind::Headers as u8 => gained.count("answers begun"),
                    kind if kind == Kind::Reset as u8 => gained.count("streams refused"),
                    kind if kind == Kind::GoAway as u8 => gained.count("connections ended"),
                    _ => {}
                }
            }
        };
        let ended: Result<io::Result<()>, _> = tokio::time::timeout_at(end.into(), reading).await;
        if ended.is_ok() {
            gained.count("connections closed");
        }
        gained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_is_one_frame_of_four_fields() {
        let get = get(3, "/v1/status");
        assert_eq!(get[..HEAD], [0, 0, 25, 1, 5, 0, 0, 0, 3]);
        assert_eq!(&get[HEAD..HEAD + 4], [0x82, 0x87, 0x04, 10]);
        assert!(get.ends_with(b"\x01\x09localhost"));
    }
}
