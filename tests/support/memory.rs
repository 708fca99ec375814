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

/// All private mappings that can be read, at one moment.
pub struct Memory(Vec<Mapping>);

/// A needle.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    /// Distance and mapping.
    pub place: String,
}

struct Mapping {
    /// Its line in `maps`.
    line: String,
    bytes: Vec<u8>,
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
        let mappings = maps.lines().filter_map(|line| Mapping::read(line, &memory));
        Some(Self(mappings.collect()))
    }

    /// Where the needles are.
    pub fn find(&self, needles: &Needles) -> Vec<Found> {
        let found = self.0.iter().flat_map(|mapping| mapping.find(needles));
        found.collect()
    }
}

impl Mapping {
    fn read(line: &str, memory: &File) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let rights = fields.next()?;
        // `[vvar]` and its like are the kernel's.
        if !rights.starts_with('r') || !rights.ends_with('p') || line.contains("[v") {
            return None;
        }
        let address = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        let mut bytes = vec![0; usize::try_from(end - start).ok()?];
        // The service runs on: a mapping may be gone, or be cut.
        let read = memory.read_at(&mut bytes, start).ok()?;
        bytes.truncate(read);
        Some(Self {
            line: line.to_owned(),
            bytes,
        })
    }

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
                    let place = format!("{:#x} into {}", end - 2, self.line);
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
