use std::net::SocketAddr;

use crate::error::BenchError;

/// What is sent, and what a right answer is.
pub(crate) trait Workload {
    /// Appends the whole request with this number.
    fn request(&self, number: u64, into: &mut Vec<u8>);

    /// The status of every right answer.
    fn status(&self) -> u16;

    /// Operations in one request.
    fn operations(&self) -> u64 {
        1
    }

    /// Whether each request comes over a connection of its own.
    fn connects_anew(&self) -> bool {
        false
    }

    /// Looks over every body, cheaply.
    ///
    /// # Errors
    /// [`BenchError::WrongAnswer`].
    fn glance(&self, _body: &[u8]) -> Result<(), BenchError> {
        Ok(())
    }

    /// Parses and verifies a body; done for a sample.
    ///
    /// # Errors
    /// [`BenchError::WrongAnswer`].
    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError>;
}

/// Head of a POST with a JSON body, up to the body's length; `extra` are whole header lines.
pub(crate) fn head_before_length(path: &str, host: SocketAddr, extra: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{extra}content-length: "
    )
}

/// The same request every time.
pub(crate) struct Fixed {
    request: Vec<u8>,
    status: u16,
    right: fn(&[u8]) -> bool,
}

impl Fixed {
    /// A POST of `body`.
    pub(crate) fn new(
        head_before_length: &str,
        body: &str,
        status: u16,
        right: fn(&[u8]) -> bool,
    ) -> Self {
        let request = format!("{head_before_length}{}\r\n\r\n{body}", body.len());
        Self {
            request: request.into_bytes(),
            status,
            right,
        }
    }
}

impl Workload for Fixed {
    fn request(&self, _number: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.request);
    }

    fn status(&self) -> u16 {
        self.status
    }

    fn check(&self, _number: u64, body: &[u8]) -> Result<(), BenchError> {
        if (self.right)(body) {
            Ok(())
        } else {
            Err(BenchError::WrongAnswer(
                String::from_utf8_lossy(body).into_owned(),
            ))
        }
    }
}

/// Each request of another workload over a connection of its own.
pub(crate) struct Anew<W>(pub(crate) W);

impl<W: Workload> Workload for Anew<W> {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        self.0.request(number, into);
    }

    fn status(&self) -> u16 {
        self.0.status()
    }

    fn connects_anew(&self) -> bool {
        true
    }

    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError> {
        self.0.check(number, body)
    }
}
