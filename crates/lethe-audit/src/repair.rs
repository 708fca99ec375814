//! Repairs a segment that was not closed, after a crash or a failed write. Complete lines stay, whether
//! or not anybody got an answer for them. The rest of a torn line is overwritten with blanks, and the
//! unused rest of the file is cut off. Nobody got an answer for a torn line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK: usize = 1 << 20;

/// Leaves nothing but whole lines and empty ones; no file where there is no record.
pub(crate) fn repair(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let used = used(&file)?;
    let end = blank_torn_lines(&file, used)?;
    if end == 0 {
        return std::fs::remove_file(path);
    }
    file.set_len(end)?;
    file.sync_all()
}

/// Where the line ends behind the last line begin, plus the line end of that one.
fn used(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = &mut chunk[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte != b'\n') {
            return Ok((start + last as u64 + 2).min(length));
        }
        end = start;
    }
    Ok(0)
}

/// Answers where the last whole line ends.
fn blank_torn_lines(file: &File, used: u64) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(CHUNK, file);
    let mut line = Vec::new();
    let (mut offset, mut end) = (0, 0);
    while offset < used && reader.read_until(b'\n', &mut line)? > 0 {
        let next = offset + line.len() as u64;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if is_whole(text) {
            end = next;
        } else if !text.is_empty() {
            file.write_all_at(&vec![b'\n'; text.len()], offset)?;
        }
        offset = next;
        line.clear();
    }
    Ok(end)
}

/// One JSON object from the first byte to the last, as far as brackets and strings tell: a
/// beginning, an end or a middle of a record is none.
fn is_whole(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for (index, byte) in line.iter().enumerate() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') if depth == 0 => return false,
            (false, b'}' | b']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return line[0] == b'{' && index + 1 == line.len();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_record_are_not_whole() {
        let line = br#"{"a":"}\"{","b":[["x",1],["y",2]]}"#;
        assert!(is_whole(line));
        for cut in 0..line.len() {
            assert!(!is_whole(&line[..cut]), "first {cut}");
            assert!(!is_whole(&line[cut + 1..]), "without the first {}", cut + 1);
        }
        assert!(!is_whole(b"{} "));
    }

    fn repaired(content: &[u8]) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        std::fs::write(&path, content).unwrap();
        repair(&path).unwrap();
        std::fs::read(&path).ok()
    }

    #[test]
    fn whole_lines_stay_where_they_are_and_torn_ones_go() {
        let content = b"{\"a\":1}\n{\"b\":\n\n:3}\n{\"c\":4}\n{\"d\n\n\n";
        let expected = b"{\"a\":1}\n\n\n\n\n\n\n\n\n\n\n\n{\"c\":4}\n";
        assert_eq!(repaired(content).unwrap(), expected);
        let full = b"{\"a\":1}\n{\"b\":2}\n";
        assert_eq!(repaired(full).unwrap(), full);
    }

    #[test]
    fn the_end_is_found_behind_any_length_of_emptiness() {
        let mut content = b"{\"a\":1}\n".to_vec();
        content.resize(3 * CHUNK + 17, b'\n');
        assert_eq!(repaired(&content).unwrap(), b"{\"a\":1}\n");
    }

    #[test]
    fn a_segment_without_a_record_is_taken_away() {
        assert_eq!(repaired(&[b'\n'; 100]), None);
        assert_eq!(repaired(b"{\"a\":\n\n"), None);
        assert_eq!(repaired(b""), None);
    }
}
