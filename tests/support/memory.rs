//! The memory of the running service, as whoever has the right to look into it sees it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;

use super::Dev;

/// Bytes of a needle that are looked up first; none is shorter.
const HEAD: usize = 8;
/// Values of three bytes.
const BEGINS: usize = 1 << 24;

/// What is looked for: byte strings with names.
pub struct Needles {
    /// By first three bytes: nearly all places of memory fail here.
    begins: Vec<bool>,
    by_head: HashMap<[u8; HEAD], Vec<(String, Vec<u8>)>>,
}

impl Default for Needles {
    fn default() -> Self {
        Self {
            begins: vec![false; BEGINS],
            by_head: HashMap::new(),
        }
    }
}

impl Needles {
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        let head = *bytes.first_chunk().unwrap();
        self.begins[begin(&head)] = true;
        let same_head = self.by_head.entry(head).or_default();
        same_head.push((name.to_owned(), bytes.to_owned()));
    }

    /// Each half of a secret: who has one has nearly all.
    pub fn add_halves(&mut self, name: &str, secret: &[u8]) {
        let (first, second) = secret.split_at(secret.len() / 2);
        self.add(name, first);
        self.add(name, second);
    }
}

fn begin(head: &[u8; HEAD]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

/// Bytes of a page.
const PAGE: u64 = 4_096;

/// All private mappings that can be read, at one moment.
pub struct Memory(Vec<Run>);

/// A needle.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    /// Distance and mapping.
    pub place: String,
}

/// Pages beside each other that hold something: an allocator reserves far more than it uses.
struct Run {
    /// The line of its mapping in `maps`.
    line: String,
    /// Where in the mapping it begins.
    offset: u64,
    bytes: Vec<u8>,
}

/// A process's files.
struct Process {
    memory: File,
    pagemap: File,
}

impl Memory {
    /// None without the right to look, which is said.
    pub fn of(dev: &Dev) -> Option<Self> {
        let process = format!("/proc/{}", dev.pid().as_raw_nonzero());
        let memory = match File::open(format!("{process}/mem")) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                // Past the test harness, which keeps what a passing test prints to itself.
                let _ = writeln!(std::io::stderr(), "skipped: needs CAP_SYS_PTRACE");
                return None;
            }
            opened => opened.unwrap(),
        };
        let maps = std::fs::read_to_string(format!("{process}/maps")).unwrap();
        let pagemap = File::open(format!("{process}/pagemap")).unwrap();
        let process = Process { memory, pagemap };
        let runs = maps.lines().filter_map(|line| process.runs(line));
        Some(Self(runs.flatten().collect()))
    }

    /// Where the needles are.
    pub fn find(&self, needles: &Needles) -> Vec<Found> {
        let found = self.0.iter().flat_map(|run| run.find(needles));
        found.collect()
    }
}

impl Process {
    /// None of a mapping that cannot be read.
    fn runs(&self, line: &str) -> Option<Vec<Run>> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let rights = fields.next()?;
        // `[vvar]` and its like are the kernel's.
        if !rights.starts_with('r') || !rights.ends_with('p') || line.contains("[v") {
            return None;
        }
        let address = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        let used = self.used(start / PAGE, end / PAGE)?;
        let mut runs = Vec::new();
        let mut first = 0;
        for beside in used.chunk_by(|a, b| a == b) {
            let (offset, length) = (first, beside.len() as u64 * PAGE);
            first += length;
            if beside[0] {
                let mut bytes = vec![0; usize::try_from(length).ok()?];
                // The service runs on: a mapping may be gone, or be cut.
                let read = self.memory.read_at(&mut bytes, start + offset).ok()?;
                bytes.truncate(read);
                let line = line.to_owned();
                runs.push(Run {
                    line,
                    offset,
                    bytes,
                });
            }
        }
        Some(runs)
    }

    /// Which pages are in memory or in swap; the others are zeros, or as in their file.
    fn used(&self, first: u64, end: u64) -> Option<Vec<bool>> {
        let mut entries = vec![0; usize::try_from((end - first) * 8).ok()?];
        let read = self.pagemap.read_at(&mut entries, first * 8).ok()?;
        let (entries, _) = entries[..read].as_chunks::<8>();
        let used = |entry: &[u8; 8]| u64::from_le_bytes(*entry) >> 62 != 0;
        Some(entries.iter().map(used).collect())
    }
}

impl Run {
    fn find(&self, needles: &Needles) -> Vec<Found> {
        let mut found = Vec::new();
        // Rolls along: this loop sees every byte of the service, in a build without optimisation.
        let mut last_three = 0;
        for (end, byte) in self.bytes.iter().enumerate() {
            last_three = (last_three << 8 | usize::from(*byte)) % BEGINS;
            if !needles.begins[last_three] || end < 2 {
                continue;
            }
            let here = &self.bytes[end - 2..];
            let same_head = here
                .first_chunk()
                .and_then(|head| needles.by_head.get(head));
            for (name, bytes) in same_head.into_iter().flatten() {
                if here.starts_with(bytes) {
                    let place = self.offset + end as u64 - 2;
                    let place = format!("{place:#x} into {}", self.line);
                    found.push(Found {
                        name: name.clone(),
                        place,
                    });
                }
            }
        }
        found
    }
}
