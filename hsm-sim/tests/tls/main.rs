//! The daemon behind TLS: whom it serves, whom it refuses, and that nobody keeps it from others.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod device;
#[path = "../support/pki.rs"]
mod pki;
mod refusals;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use device::{Device, call};
use hsm_sim::constants::{CKA_VALUE_LEN, CKM_AES_GCM, CKM_AES_KEY_GEN};
use hsm_sim::wire::{
    Answer, Attribute, GcmParams, Mechanism, Request, Response, Secret, receive, send,
};

fn generate(session: u64) -> Request {
    let length = Attribute {
        kind: CKA_VALUE_LEN,
        value: 32u64.to_le_bytes().to_vec(),
    };
    let mechanism = Mechanism {
        kind: CKM_AES_KEY_GEN,
        gcm: None,
    };
    Request::GenerateKey {
        session,
        mechanism,
        template: vec![length],
    }
}

fn encrypt(session: u64, key: u64, data: &[u8]) -> Request {
    let gcm = GcmParams {
        iv: vec![7; 12],
        aad: Vec::new(),
        tag_bits: 128,
    };
    Request::Encrypt {
        session,
        mechanism: Mechanism {
            kind: CKM_AES_GCM,
            gcm: Some(gcm),
        },
        key,
        data: Secret(data.to_vec()),
    }
}

#[test]
fn calls_small_and_large_are_answered() {
    let device = Device::start();
    let (mut stream, session) = device.log_in();
    let Ok(Answer::Object(key)) = call(&mut stream, &generate(session)) else {
        panic!()
    };
    // Many records of TLS in either direction.
    for size in [0, 1, 16_384, 980_000] {
        let answer = call(&mut stream, &encrypt(session, key, &vec![1; size]));
        let Ok(Answer::Data(sealed)) = answer else {
            panic!()
        };
        assert_eq!(sealed.0.len(), size + 16);
    }
    let destroy = Request::DestroyObject {
        session,
        object: key,
    };
    assert_eq!(call(&mut stream, &destroy).unwrap(), Answer::Done);
}

#[test]
fn a_session_ends_with_its_connection_and_is_not_seen_from_another() {
    let device = Device::start();
    let (first, of_first) = device.log_in();
    let (mut second, _) = device.log_in();
    // The socket's connections are numbered with those of TLS: this one is nobody's double.
    let mut local = UnixStream::connect(device.dir().join("hsm.sock")).unwrap();
    assert!(is_refused(&mut second, &generate(of_first)));
    assert!(is_refused(&mut local, &generate(of_first)));
    drop(first);
    eventually(|| device.calls_and_sessions().1 == 1);
}

fn is_refused(stream: &mut (impl Read + Write), request: &Request) -> bool {
    send(stream, request).unwrap();
    receive::<Response>(stream).unwrap().is_err()
}

fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to hold");
}

#[test]
fn a_killed_daemon_ends_its_connections_and_comes_back_at_the_same_address() {
    let mut device = Device::start();
    let (mut stream, session) = device.log_in();
    device.kill();
    assert!(call(&mut stream, &generate(session)).is_err());
    assert!(device.connect("client").is_err());
    device.restart();
    let (mut stream, session) = device.log_in();
    call(&mut stream, &generate(session)).unwrap();
}

#[test]
fn half_open_connections_keep_nobody_out_and_are_hung_up_on() {
    let device = Device::start();
    let mut idle: Vec<_> = (0..100).map(|_| device.tcp()).collect();
    let (mut stream, session) = device.log_in();
    call(&mut stream, &generate(session)).unwrap();
    let last = idle.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut rest = Vec::new();
    last.read_to_end(&mut rest).unwrap();
    // One that was served may idle for longer than a handshake may take.
    call(&mut stream, &generate(session)).unwrap();
}

#[test]
fn connections_are_limited_and_their_places_come_back() {
    let device = Device::start();
    let (mut stream, session) = device.log_in();
    let idle: Vec<_> = (0..255).map(|_| device.tcp()).collect();
    assert!(device.connect("client").is_err());
    call(&mut stream, &generate(session)).unwrap();
    drop(idle);
    eventually(|| device.connect("client").is_ok());
}
