//! The C surface against a real token behind TLS, with a relay between that can be cut.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ptr::null_mut;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hsm_sim::daemon::{self, Listen, Service};
use hsm_sim::token::{self, IvSource};

use super::on_token::{end, log_in, new_aes_key, round_trip, session};
use super::pki::Pki;
use super::*;
use crate::endpoint::Endpoint;

/// Serves a new token; the daemon ends with the process.
fn serve(pki: &Pki) -> (tempfile::TempDir, String) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("token");
    token::initialise(&dir, "far", b"12345678", b"1234").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let address = free.unwrap().to_string();
    let tls = Listen {
        address: address.clone(),
        files: pki.files("daemon"),
    };
    let service = Service {
        socket: None,
        tls: Some(tls),
        iv: IvSource::Caller,
        exit_on_stdin_close: false,
        dir,
    };
    thread::spawn(move || daemon::serve(&service).unwrap());
    while TcpStream::connect(&address).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    (temp, address)
}

fn endpoint(pki: &Pki, who: &str, address: &str) -> Endpoint {
    let files = pki.files(who);
    let variable = |name: &str| match name {
        "HSM_SIM_ADDRESS" => Some(address.into()),
        "HSM_SIM_CA" => Some(files.ca.clone().into()),
        "HSM_SIM_CERT" => Some(files.certificate.clone().into()),
        "HSM_SIM_KEY" => Some(files.key.clone().into()),
        "HSM_SIM_SOCKET" => Some("/nowhere".into()),
        _ => None,
    };
    Endpoint::find(None, variable).unwrap()
}

fn open() -> CK_RV {
    let (flags, mut session) = (CKF_SERIAL_SESSION | CKF_RW_SESSION, 0);
    // SAFETY: the one pointer comes from a live variable.
    unsafe { C_OpenSession(0, flags, null_mut(), None, &mut session) }
}

#[test]
fn a_session_over_tls() {
    let _turn = state::lock(&TURN);
    let pki = Pki::new();
    let (_token, address) = serve(&pki);
    state::initialise(endpoint(&pki, "client", &address)).unwrap();
    assert_eq!(slot::list(true), Ok(vec![slot::ID]));
    assert_eq!(slot::token(0).unwrap().label[..4], *b"far ");
    let first = session();
    assert_eq!(log_in(first, CKU_USER, "1234"), CKR_OK);
    // Opening looks whether the first is alive, and must leave it so.
    let second = session();
    for session in [first, second] {
        let key = new_aes_key(session);
        round_trip(session, key, &mut [3; 12]);
    }
    // SAFETY: no pointers.
    assert_eq!(unsafe { C_CloseSession(second) }, CKR_OK);
    end();
}

#[test]
fn a_stranger_gets_no_session() {
    let _turn = state::lock(&TURN);
    let pki = Pki::new();
    let (_token, address) = serve(&pki);
    state::initialise(endpoint(&pki, "stranger", &address)).unwrap();
    assert_eq!(open(), CKR_DEVICE_REMOVED);
    assert_eq!(slot::token(0).map(drop), Err(CKR_DEVICE_ERROR));
    end();
}

/// Passes one connection on, and returns it to be cut; afterwards nobody listens.
fn relay(to: String) -> (String, thread::JoinHandle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = thread::spawn(move || {
        let near = Arc::new(listener.accept().unwrap().0);
        let far = Arc::new(TcpStream::connect(to).unwrap());
        for (from, into) in [(&near, &far), (&far, &near)] {
            let (from, into) = (Arc::clone(from), Arc::clone(into));
            thread::spawn(move || io::copy(&mut &*from, &mut &*into));
        }
        near.try_clone().unwrap()
    });
    (address, accepted)
}

#[test]
fn a_connection_that_is_cut_is_a_removed_device() {
    let _turn = state::lock(&TURN);
    let pki = Pki::new();
    let (_token, address) = serve(&pki);
    let (address, relayed) = relay(address);
    state::initialise(endpoint(&pki, "client", &address)).unwrap();
    let session = session();
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_OK);
    relayed.join().unwrap().shutdown(Shutdown::Both).unwrap();
    assert_eq!(log_in(session, CKU_USER, "1234"), CKR_DEVICE_REMOVED);
    assert_eq!(
        log_in(session, CKU_USER, "1234"),
        CKR_SESSION_HANDLE_INVALID
    );
    assert_eq!(open(), CKR_TOKEN_NOT_PRESENT);
    assert_eq!(slot::list(true), Ok(vec![]));
    end();
}

#[test]
fn an_incomplete_environment_is_refused_with_the_name_of_what_is_missing() {
    let only_address = |name: &str| (name == "HSM_SIM_ADDRESS").then(|| "a:1".into());
    let error = Endpoint::find(None, only_address).err().unwrap();
    assert_eq!(
        error.to_string(),
        "HSM_SIM_ADDRESS is set, but HSM_SIM_CA is not"
    );
}
