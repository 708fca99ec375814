//! The output while it grows: FILE.part, and beside it FILE.part.json, which says how much of it is
//! complete, and how much of which input it is from. A run after a kill cuts off the rest and continues
//! from there.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::cli::Failure;
use crate::pki::{beside, ensure_replaceable, put_in_place, write_private};

const FORMAT: &str = "lethe/v1/rewrap";

/// What a run must have in common with the earlier run that it continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    format: String,
    keyspace: String,
    drop_bad: bool,
}

impl Task {
    pub(super) fn new(keyspace: &str, drop_bad: bool) -> Self {
        Self {
            format: FORMAT.to_owned(),
            keyspace: keyspace.to_owned(),
            drop_bad,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    task: Task,
    input_bytes: u64,
    input_sha256: String,
    output_bytes: u64,
    tally: Tally,
}

/// The output of a run.
pub(super) struct Draft {
    out: PathBuf,
    task: Task,
    part: BufWriter<File>,
    input: digest::Context,
    input_bytes: u64,
    output_bytes: u64,
}

impl Draft {
    /// Begins the output, or continues it. Then `input` is at the first line that is not done, and the
    /// tally counts what is done. The output gets the permissions `mode`.
    pub(super) fn open(
        out: &Path,
        task: Task,
        input: &mut impl Read,
        mode: u32,
    ) -> Result<(Self, Tally), Failure> {
        let path = beside(out, "part");
        ensure_replaceable(out).map_err(|error| named(out, error))?;
        // The draft may be that of an earlier run, but never a link.
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits();
        let part = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(mode)
            .custom_flags(no_link.cast_signed())
            .open(&path)
            .map_err(|error| named(&path, error))?;
        part.set_permissions(Permissions::from_mode(mode))
            .map_err(|error| named(&path, error))?;
        match part.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("{}: another run is at work on it", path.display());
                return Err(Failure::new(text));
            }
            Err(TryLockError::Error(error)) => return Err(named(&path, error)),
        }
        let mut draft = Self {
            out: out.to_owned(),
            task,
            part: BufWriter::with_capacity(1 << 18, part),
            input: digest::Context::new(&SHA256),
            input_bytes: 0,
            output_bytes: 0,
        };
        let tally = match draft.earlier()? {
            Some(state) => draft.go_on(state, input)?,
            None => Tally::default(),
        };
        draft.keep(&tally)?;
        Ok((draft, tally))
    }

    /// How far an earlier run was. A draft without a valid file beside it is not ours.
    fn earlier(&self) -> Result<Option<State>, Failure> {
        let path = self.state_file();
        let named = |error| named(&path, error);
        let length = self.part.get_ref().metadata().map_err(named)?.len();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && length == 0 => {
                return Ok(None);
            }
            Err(error) => return Err(named(error)),
        };
        let state: State = serde_json::from_str(&text)
            .map_err(|_| self.foreign("is not of a rewrap, or of another version"))?;
        // A run that was killed after its last step leaves this file. Its draft has the final name
        // already.
        let ended = length == 0 && state.output_bytes > 0;
        Ok((!ended).then_some(state))
    }

    fn go_on(&mut self, state: State, input: &mut impl Read) -> Result<Tally, Failure> {
        if state.task != self.task {
            return Err(self.foreign("belongs to a run with another keyspace or other options"));
        }
        let mut same = input.take(state.input_bytes);
        let mut piece = vec![0; 1 << 18];
        loop {
            let read = same.read(&mut piece)?;
            if read == 0 {
                break;
            }
            self.note(&piece[..read]);
        }
        if self.input_bytes != state.input_bytes || self.input_sha256() != state.input_sha256 {
            return Err(self.foreign("was made from another input"));
        }
        let part = self.part.get_mut();
        if part.metadata()?.len() < state.output_bytes {
            return Err(self.foreign("is shorter than it was"));
        }
        part.set_len(state.output_bytes)?;
        part.seek(SeekFrom::End(0))?;
        self.output_bytes = state.output_bytes;
        Ok(state.tally)
    }

    fn foreign(&self, why: &str) -> Failure {
        Failure::new(format!(
            "{} {why}: remove it and {} to begin anew",
            self.part_file().display(),
            self.state_file().display()
        ))
    }

    /// Number of input bytes that are done.
    pub(super) const fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    /// Counts input whose output is complete.
    pub(super) fn note(&mut self, input: &[u8]) {
        self.input.update(input);
        self.input_bytes += input.len() as u64;
    }

    pub(super) fn write(&mut self, output: &[u8]) -> Result<(), Failure> {
        self.output_bytes += output.len() as u64;
        let written = self.part.write_all(output);
        written.map_err(|error| named(&self.part_file(), error))
    }

    /// Writes down the present state, from which a run after a kill continues. Call it only at the end
    /// of a line.
    pub(super) fn keep(&mut self, tally: &Tally) -> Result<(), Failure> {
        let synced = self
            .part
            .flush()
            .and_then(|()| self.part.get_ref().sync_data());
        synced.map_err(|error| named(&self.part_file(), error))?;
        let state = State {
            task: self.task.clone(),
            input_bytes: self.input_bytes,
            input_sha256: self.input_sha256(),
            output_bytes: self.output_bytes,
            tally: tally.clone(),
        };
        let path = self.state_file();
        write_private(&path, &serde_json::to_string(&state)?).map_err(|error| named(&path, error))
    }

    /// The output is complete: makes it durable and gives it its final name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let named = |error| named(&self.out, error);
        self.part.flush().map_err(named)?;
        self.part.get_ref().sync_all().map_err(named)?;
        put_in_place(&self.part_file(), &self.out).map_err(named)?;
        std::fs::remove_file(self.state_file()).map_err(named)
    }

    fn input_sha256(&self) -> String {
        Base64::encode_string(self.input.clone().finish().as_ref())
    }

    fn part_file(&self) -> PathBuf {
        beside(&self.out, "part")
    }

    fn state_file(&self) -> PathBuf {
        beside(&self.out, "part.json")
    }
}

pub(super) fn named(path: &Path, error: io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &[u8] = b"one\ntwo\nthree\n";

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn open(&self, input: &mut &[u8], drop_bad: bool) -> Result<(Draft, Tally), Failure> {
            let task = Task::new("chat", drop_bad);
            Draft::open(&self.file("out"), task, input, 0o640)
        }

        /// Killed behind the second line, whose output is torn.
        fn killed() -> Self {
            let place = Self::new();
            let (mut draft, mut tally) = place.open(&mut &INPUT[..], false).unwrap();
            draft.note(b"one\n");
            draft.write(b"ONE\n").unwrap();
            tally.lines = 1;
            draft.keep(&tally).unwrap();
            draft.note(b"two\n");
            draft.write(b"TW").unwrap();
            drop(draft);
            assert_eq!(std::fs::read(place.file("out.part")).unwrap(), b"ONE\nTW");
            place
        }

        fn refuses(&self, mut input: &[u8], drop_bad: bool, why: &str) {
            let before = std::fs::read(self.file("out.part")).unwrap();
            let failure = self.open(&mut input, drop_bad).err().unwrap();
            assert!(failure.message.contains(why), "{}", failure.message);
            assert_eq!(std::fs::read(self.file("out.part")).unwrap(), before);
        }
    }

    #[test]
    fn it_goes_on_behind_the_last_line_that_is_known_to_be_good() {
        let place = Place::killed();
        let mut input = INPUT;
        let (mut draft, tally) = place.open(&mut input, false).unwrap();
        assert_eq!(input, b"two\nthree\n");
        assert_eq!((tally.lines, draft.input_bytes()), (1, 4));
        draft.note(input);
        draft.write(b"TWO\nTHREE\n").unwrap();
        assert!(!place.file("out").exists());
        draft.finish().unwrap();
        assert_eq!(
            std::fs::read(place.file("out")).unwrap(),
            b"ONE\nTWO\nTHREE\n"
        );
        assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 1);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(place.file("out")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn input_that_grew_is_the_same_input() {
        let place = Place::killed();
        let mut input: &[u8] = b"one\nother\n";
        place.open(&mut input, false).unwrap();
        assert_eq!(input, b"other\n");
    }

    #[test]
    fn a_draft_of_something_else_is_not_touched() {
        let place = Place::killed();
        place.refuses(b"ONE\ntwo\nthree\n", false, "another input");
        place.refuses(b"on", false, "another input");
        place.refuses(INPUT, true, "other options");
        std::fs::write(place.file("out.part"), "ON").unwrap();
        place.refuses(INPUT, false, "shorter");
        std::fs::write(place.file("out.part.json"), "{}").unwrap();
        place.refuses(INPUT, false, "not of a rewrap");
        std::fs::remove_file(place.file("out.part.json")).unwrap();
        place.refuses(INPUT, false, "No such file");
    }

    #[test]
    fn killed_before_the_first_or_behind_the_last_step() {
        let place = Place::new();
        std::fs::write(place.file("out.part"), "").unwrap();
        let (_, tally) = place.open(&mut &INPUT[..], false).unwrap();
        assert_eq!(tally, Tally::default());
        let place = Place::killed();
        std::fs::rename(place.file("out.part"), place.file("out")).unwrap();
        let mut input = INPUT;
        let (draft, tally) = place.open(&mut input, false).unwrap();
        assert_eq!((input, tally), (INPUT, Tally::default()));
        draft.finish().unwrap();
    }

    #[test]
    fn two_at_once_do_not_write_over_each_other() {
        let place = Place::new();
        let _first = place.open(&mut &INPUT[..], false).unwrap();
        place.refuses(INPUT, false, "another run is at work");
    }
}
