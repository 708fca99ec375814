use std::collections::BTreeMap;

use super::*;
use crate::constants::CKA_VALUE;
use crate::token::object::Object;
use crate::token::pin::Pin;

fn state(handles: &[u64]) -> State {
    let object = |handle: &u64| {
        let mut object = Object::default();
        object.set(CKA_VALUE, vec![*handle as u8; 32]);
        (*handle, object)
    };
    State {
        label: "test".into(),
        serial: "00".into(),
        so_pin: Pin::new(b"12345678").unwrap(),
        user_pin: None,
        next_handle: 100,
        objects: handles.iter().map(object).collect::<BTreeMap<_, _>>(),
    }
}

fn handles(state: &State) -> Vec<u64> {
    state.objects.keys().copied().collect()
}

fn reopened(dir: &Path) -> Vec<u64> {
    handles(&Storage::open(dir).unwrap().1.unwrap())
}

#[test]
fn a_crash_before_the_cell_switch_keeps_the_old_state() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::create(dir.path(), &state(&[1, 2])).unwrap();
    let key = storage.prepare(&state(&[1])).unwrap();
    drop(storage);
    assert_eq!(reopened(dir.path()), [1, 2]);
    assert!(!state_path(dir.path(), key.sequence).exists());
}

#[test]
fn a_crash_amid_the_state_file_keeps_the_old_state() {
    let dir = tempfile::tempdir().unwrap();
    drop(Storage::create(dir.path(), &state(&[1, 2])).unwrap());
    fs::write(state_path(dir.path(), 2), b"half a sta").unwrap();
    assert_eq!(reopened(dir.path()), [1, 2]);
}

#[test]
fn a_torn_slot_keeps_the_old_state() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::create(dir.path(), &state(&[1, 2])).unwrap();
    storage.prepare(&state(&[1])).unwrap();
    storage.cell.write_all_at(b"HSMCELL1torn", 0).unwrap();
    drop(storage);
    assert_eq!(reopened(dir.path()), [1, 2]);
}

#[test]
fn a_crash_between_the_slots_takes_the_new_state_and_effaces_the_old_key() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::create(dir.path(), &state(&[1, 2])).unwrap();
    let key = storage.prepare(&state(&[1])).unwrap();
    cell::write(&storage.cell, &key).unwrap();
    assert_eq!(cell::read(&storage.cell).unwrap().len(), 2);
    drop(storage);
    assert_eq!(handles(&read(dir.path()).unwrap()), [1]);
    assert_eq!(reopened(dir.path()), [1]);
    assert_eq!(
        cell::read(&File::open(dir.path().join("cell")).unwrap())
            .unwrap()
            .len(),
        1
    );
    assert!(!state_path(dir.path(), 1).exists());
}

#[test]
fn no_earlier_state_opens_with_the_present_cell() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = Storage::create(dir.path(), &state(&[1, 2, 3])).unwrap();
    let mut files = Vec::new();
    for left in [&[1, 2][..], &[1], &[]] {
        files.push(fs::read(state_path(dir.path(), storage.sequence)).unwrap());
        storage.commit(&state(left)).unwrap();
    }
    let cells = cell::read(&storage.cell).unwrap();
    assert_eq!(cells.len(), 1);
    for (file, sequence) in files.into_iter().zip(1..) {
        let mut guess = cells[0].clone();
        assert!(seal::open(file.clone(), &guess).is_err());
        guess.sequence = sequence;
        assert!(seal::open(file, &guess).is_err());
    }
    assert_eq!(handles(&read(dir.path()).unwrap()), [0u64; 0]);
}

#[test]
fn one_directory_has_one_daemon_and_one_token() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::create(dir.path(), &state(&[])).unwrap();
    assert!(Storage::open(dir.path()).is_err());
    drop(storage);
    assert!(Storage::create(dir.path(), &state(&[])).is_err());
}

#[test]
fn a_tampered_token_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = Storage::create(dir.path(), &state(&[1])).unwrap();
    storage.tamper().unwrap();
    drop(storage);
    assert!(Storage::open(dir.path()).unwrap().1.is_none());
    assert!(read(dir.path()).is_err());
}
