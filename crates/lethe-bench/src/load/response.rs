//! As much of an HTTP/1.1 response as a load generator looks at: status and body.

use std::borrow::Cow;
use std::io;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    /// Its status code.
    pub(crate) status: u16,
    /// Its body, without transfer coding.
    pub(crate) body: Cow<'a, [u8]>,
}

/// How long the body is.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The response at the start of `received`; none while it is not complete.
pub(crate) fn parse(received: &[u8]) -> io::Result<Option<Response<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let status = head.code.unwrap_or_default();
    let rest = &received[length..];
    let body = match framing(status, head.headers)? {
        Framing::Length(length) => rest.get(..length).map(Cow::Borrowed),
        Framing::Chunked => dechunk(rest)?.map(Cow::Owned),
    };
    Ok(body.map(|body| Response { status, body }))
}

fn framing(status: u16, headers: &[httparse::Header<'_>]) -> io::Result<Framing> {
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(io::Error::other)?;
            return text.parse().map(Framing::Length).map_err(io::Error::other);
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Framing::Chunked);
        }
    }
    match status {
        204 | 304 => Ok(Framing::Length(0)),
        _ => Err(io::Error::other("a response without a length")),
    }
}

fn dechunk(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let parsed =
            httparse::parse_chunk_size(rest).map_err(|_| io::Error::other("not a chunk"))?;
        let httparse::Status::Complete((start, size)) = parsed else {
            return Ok(None);
        };
        let Some(chunk) = usize::try_from(size)
            .ok()
            .and_then(|size| rest.get(start..start + size + 2))
        else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
        rest = &rest[start + chunk.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    #[test]
    fn whole_responses_are_read() {
        for (bytes, status) in [(LENGTH, 201), (CHUNKED, 200)] {
            let response = parse(bytes).unwrap().unwrap();
            assert_eq!((response.status, &*response.body), (status, &b"hello"[..]));
        }
        let empty = parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((empty.status, empty.body.len()), (204, 0));
    }

    #[test]
    fn every_part_of_one_is_waited_for() {
        for bytes in [LENGTH, CHUNKED] {
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]).unwrap(), None, "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for bytes in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(parse(bytes).is_err());
        }
    }
}
