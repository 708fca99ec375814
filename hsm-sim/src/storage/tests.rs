use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;

use super::*;
use crate::constants::CKA_VALUE;
use crate::token::object::Object;
use crate::token::pin::Pin;

/// A write, and the file it went to.
type Write = (PathBuf, Vec<u8>, u64);

thread_local! {
    static JOURNAL: RefCell<Vec<Write>> = const { RefCell::new(Vec::new()) };
}

/// Notes every write, so that a crash can be replayed after each.
pub(super) fn journal(file: &File, bytes: &[u8], offset: u64) {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    let name = path.file_name().unwrap().into();
    JOURNAL.with_borrow_mut(|journal| journal.push((name, bytes.to_vec(), offset)));
}

fn object(value: u8, length: usize) -> Object {
    let mut object = Object::default();
    object.set(CKA_VALUE, vec![value; length]);
    object
}

fn state(handles: &[u64]) -> State {
    let header = Header {
        label: "test".into(),
        serial: "00".into(),
        so_pin: Pin::new(b"12345678").unwrap(),
        user_pin: None,
        handles_end: 100,
    };
    let objects = handles
        .iter()
        .map(|handle| (*handle, object(*handle as u8, 32)));
    State {
        header,
        objects: objects.collect(),
    }
}

/// What a state is, to compare.
fn shown(state: &State) -> (String, BTreeMap<u64, Vec<u8>>) {
    let value = |object: &Object| object.raw(CKA_VALUE).unwrap().to_vec();
    let objects = state
        .objects
        .iter()
        .map(|(handle, it)| (*handle, value(it)));
    (state.header.label.clone(), objects.collect())
}

fn handles(state: &State) -> Vec<u64> {
    state.objects.keys().copied().collect()
}

fn opened(dir: &Path) -> (Storage, State) {
    let (storage, state) = Storage::open(dir).unwrap();
    (storage, state.unwrap())
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = [CELL, OBJECTS].map(PathBuf::from);
    names
        .map(|name| (name.clone(), fs::read(dir.join(name)).unwrap()))
        .into()
}

fn put(files: &BTreeMap<PathBuf, Vec<u8>>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn apply(files: &mut BTreeMap<PathBuf, Vec<u8>>, (name, bytes, offset): &Write) {
    let file = files.get_mut(name).unwrap();
    let (start, end) = (*offset as usize, *offset as usize + bytes.len());
    file.resize(file.len().max(end), 0);
    file[start..end].copy_from_slice(bytes);
}

/// The same write, torn: every block it touches is noise.
fn torn((name, bytes, offset): &Write) -> Write {
    let start = offset / 4096 * 4096;
    let end = (offset + bytes.len() as u64).next_multiple_of(4096);
    (name.clone(), vec![0xa5; (end - start) as usize], start)
}

/// Cuts the power after each write of `change`, and amid each: the state is the one before or the
/// one after, and the device goes on from there.
fn survives(handles: &[u64], change: impl Fn(&mut Storage, &mut State)) {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(handles);
    let mut storage = Storage::create(dir.path(), &state).unwrap();
    // Two objects in one record, as a key pair makes them.
    state
        .objects
        .extend([(50, object(50, 32)), (51, object(51, 32))]);
    storage.add(&state, &[50, 51]).unwrap();
    let (mut disk, before) = (files(dir.path()), shown(&state));
    JOURNAL.take();
    change(&mut storage, &mut state);
    let (writes, after) = (JOURNAL.take(), shown(&state));
    assert!(!writes.is_empty());
    for write in &writes {
        let mut half = disk.clone();
        apply(&mut half, &torn(write));
        check_crash(&half, &before, &after);
        apply(&mut disk, write);
        check_crash(&disk, &before, &after);
    }
    assert_eq!(shown(&opened(put(&disk).path()).1), after);
    assert_eq!(disk, files(dir.path()));
}

fn check_crash(
    disk: &BTreeMap<PathBuf, Vec<u8>>,
    before: &(String, BTreeMap<u64, Vec<u8>>),
    after: &(String, BTreeMap<u64, Vec<u8>>),
) {
    let dir = put(disk);
    let (mut storage, mut state) = opened(dir.path());
    let found = shown(&state);
    assert!(&found == before || &found == after, "{found:?}");
    state.objects.insert(99, object(99, 32));
    storage.add(&state, &[99]).unwrap();
    drop(storage);
    assert_eq!(shown(&opened(dir.path()).1), shown(&state));
    let seen = read(dir.path()).unwrap();
    assert_eq!(seen.unreadable, [""; 0]);
    let seen = State {
        header: seen.header.unwrap(),
        objects: seen.objects,
    };
    assert_eq!(shown(&seen), shown(&state));
    // No second copy of anything comes to light when all is destroyed.
    let (mut storage, mut state) = opened(dir.path());
    while let Some((handle, _)) = state.objects.pop_first() {
        storage.remove(&state, handle).unwrap();
    }
    drop(storage);
    assert_eq!(handles(&opened(dir.path()).1), [0u64; 0]);
}

#[test]
fn a_create_survives_a_crash_at_any_write() {
    for length in [32, 10_000] {
        survives(&[1, 2], |storage, state| {
            state.objects.insert(7, object(7, length));
            storage.add(state, &[7]).unwrap();
        });
    }
}

#[test]
fn a_create_that_grows_the_files_survives_a_crash_at_any_write() {
    let full: Vec<u64> = (1..=40).chain(60..82).collect();
    survives(&full, |storage, state| {
        state.objects.insert(98, object(98, 32));
        storage.add(state, &[98]).unwrap();
        assert_eq!(storage.room().unwrap(), 128);
    });
}

#[test]
fn a_destroy_survives_a_crash_at_any_write() {
    for handle in [1, 51] {
        survives(&[1, 2], |storage, state| {
            state.objects.remove(&handle);
            storage.remove(state, handle).unwrap();
        });
    }
}

#[test]
fn a_change_survives_a_crash_at_any_write() {
    survives(&[1, 2], |storage, state| {
        state.objects.insert(1, object(200, 40));
        storage.update(state, 1).unwrap();
    });
    survives(&[1, 2], |storage, state| {
        state.header.label = "other".into();
        storage.save_header(state).unwrap();
    });
}

#[test]
fn clearing_survives_a_crash_at_any_write() {
    survives(&[1, 2], |storage, state| {
        state.header.label = "new".into();
        state.objects.clear();
        storage.clear(state).unwrap();
    });
}

/// All objects that a cell opens in any of these old contents of `objects`.
fn plunder(cell: &[u8], objects: &[Vec<u8>]) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for old in objects {
        let dir = put(&[(CELL.into(), cell.to_vec()), (OBJECTS.into(), old.clone())].into());
        let open = |name| Disk::new(File::open(dir.path().join(name)).unwrap());
        let records = Records(open(OBJECTS));
        for entry in Cell(open(CELL)).read().unwrap().entries {
            if let Ok(record::Read {
                content: Content::Objects(list),
                ..
            }) = records.read(&entry)
            {
                found.extend(list.into_iter().map(|(handle, _)| handle));
            }
        }
    }
    found
}

#[test]
fn whoever_kept_every_old_state_opens_nothing_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(&[]);
    let mut storage = Storage::create(dir.path(), &state).unwrap();
    let (mut old, mut cells) = (Vec::new(), BTreeMap::new());
    let keep = |old: &mut Vec<Vec<u8>>| old.push(fs::read(dir.path().join(OBJECTS)).unwrap());
    for handle in 1..=20 {
        state.objects.insert(handle, object(handle as u8, 32));
        storage.add(&state, &[handle]).unwrap();
        keep(&mut old);
        if handle % 2 == 0 {
            let doomed = handle / 2;
            cells.insert(doomed, fs::read(dir.path().join(CELL)).unwrap());
            state.objects.remove(&doomed);
            storage.remove(&state, doomed).unwrap();
            keep(&mut old);
        }
    }
    let present = fs::read(dir.path().join(CELL)).unwrap();
    let living: BTreeSet<u64> = handles(&state).into_iter().collect();
    assert_eq!(living, (11..=20).collect());
    assert_eq!(plunder(&present, &old), living);
    // The records were there all the time: with the key of the time they open.
    for (doomed, cell) in cells {
        assert!(plunder(&cell, &old).contains(&doomed), "{doomed}");
    }
}

#[test]
fn a_changed_or_cleared_object_is_effaced_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(&[1, 2]);
    let mut storage = Storage::create(dir.path(), &state).unwrap();
    let old = vec![fs::read(dir.path().join(OBJECTS)).unwrap()];
    let present = || fs::read(dir.path().join(CELL)).unwrap();
    assert_eq!(plunder(&present(), &old), [1, 2].into());
    storage.update(&state, 1).unwrap();
    assert_eq!(plunder(&present(), &old), [2].into());
    state.objects.clear();
    storage.clear(&state).unwrap();
    assert_eq!(plunder(&present(), &old), [].into());
}

#[test]
fn a_record_that_does_not_open_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(Storage::create(dir.path(), &state(&[1])).unwrap());
    let mut objects = fs::read(dir.path().join(OBJECTS)).unwrap();
    objects[4096] ^= 1;
    fs::write(dir.path().join(OBJECTS), objects).unwrap();
    let error = Storage::open(dir.path()).err().unwrap();
    assert_eq!(error.to_string(), "record 1 does not open");
}

#[test]
fn a_record_that_does_not_open_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    drop(Storage::create(dir.path(), &state(&[1, 2])).unwrap());
    let mut objects = fs::read(dir.path().join(OBJECTS)).unwrap();
    objects[4096] ^= 1;
    fs::write(dir.path().join(OBJECTS), &objects).unwrap();
    let seen = read(dir.path()).unwrap();
    assert_eq!(seen.objects.keys().collect::<Vec<_>>(), [&2]);
    assert_eq!(seen.header.unwrap().label, "test");
    assert_eq!(seen.unreadable, ["record 1 does not open"]);
    objects[0] ^= 1;
    fs::write(dir.path().join(OBJECTS), objects).unwrap();
    let seen = read(dir.path()).unwrap();
    assert!(seen.header.is_none());
    assert_eq!(seen.objects.len(), 1);
}

#[test]
fn one_directory_has_one_daemon_and_one_token() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::create(dir.path(), &state(&[])).unwrap();
    let error = Storage::open(dir.path()).err().unwrap().to_string();
    assert!(error.starts_with("another hsm-sim serves "), "{error}");
    drop(storage);
    assert!(Storage::create(dir.path(), &state(&[])).is_err());
}

#[test]
fn a_tampered_token_stays_so_and_all_its_files_are_noise() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = Storage::create(dir.path(), &state(&[1])).unwrap();
    let before = files(dir.path());
    storage.tamper().unwrap();
    drop(storage);
    for (name, bytes) in files(dir.path()) {
        let same = bytes.iter().zip(&before[&name]).filter(|(a, b)| a == b);
        assert!(same.count() < bytes.len() / 64, "{}", name.display());
    }
    assert!(Storage::open(dir.path()).unwrap().1.is_none());
    assert!(read(dir.path()).is_err());
}
