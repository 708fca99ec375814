//! The daemon: a thread per connection, one token behind a lock.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io, thread};

use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::{AdminRequest, AdminResponse, Status};
use crate::faults::{Fault, Faults};
use crate::token::Token;
use crate::wire::{Request, receive, send};

#[derive(Clone)]
struct Device {
    token: Arc<Mutex<Token>>,
    faults: Arc<Faults>,
}

/// Serves the token of `dir` on `socket` until SIGTERM or SIGINT.
///
/// # Errors
/// When the token does not open or a socket cannot be made.
pub fn serve(dir: &Path, socket: &Path) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let faults = Arc::new(Faults::default());
    let token = Arc::new(Mutex::new(Token::open(dir, Arc::clone(&faults))?));
    let device = Device {
        token: Arc::clone(&token),
        faults,
    };
    let admin = dir.join("admin.sock");
    listen(&admin, device.clone(), |device, _, stream| {
        device.administer(stream)
    })?;
    listen(socket, device, |device, connection, stream| {
        device.converse(connection, stream)
    })?;
    println!("hsm-sim ready {}", socket.display());
    signals.forever().next();
    // No commit is under way while we hold the token.
    let _quiet = token.lock();
    let _ = fs::remove_file(socket);
    let _ = fs::remove_file(admin);
    Ok(())
}

fn listen(path: &Path, device: Device, talk: fn(&Device, u64, UnixStream)) -> io::Result<()> {
    let listener = bind(path)?;
    thread::spawn(move || {
        for (connection, stream) in (1..).zip(listener.incoming()) {
            let device = device.clone();
            if let Ok(stream) = stream {
                thread::spawn(move || talk(&device, connection, stream));
            }
        }
    });
    Ok(())
}

/// Binds under another name first: the socket appears with its mode, in place of a stale one.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    Ok(listener)
}

impl Device {
    fn converse(&self, connection: u64, mut stream: UnixStream) {
        while let Ok(request) = receive::<Request>(&mut stream) {
            self.faults.delay();
            let mut token = self.token.lock();
            let response = token.handle(connection, request);
            if token.take_committed() && self.faults.get(Fault::CrashAfterCommit).is_some() {
                std::process::exit(137);
            }
            drop(token);
            if send(&mut stream, &response).is_err() {
                break;
            }
        }
        self.token.lock().disconnect(connection);
    }

    fn administer(&self, mut stream: UnixStream) {
        while let Ok(request) = receive::<AdminRequest>(&mut stream) {
            if send(&mut stream, &self.obey(request)).is_err() {
                break;
            }
        }
    }

    fn obey(&self, request: AdminRequest) -> AdminResponse {
        match request {
            AdminRequest::Status => {}
            AdminRequest::SetFault(fault, value) => self.faults.set(fault, value),
            AdminRequest::ClearFault(fault) => self.faults.clear(fault),
            AdminRequest::Tamper => self
                .token
                .lock()
                .tamper()
                .map_err(|error| error.to_string())?,
        }
        let token = self.token.lock();
        let info = token.info().ok();
        Ok(Status {
            flags: info.as_ref().map_or(0, |info| info.flags),
            label: info.map_or_else(String::new, |info| info.label),
            broken: token.is_broken(),
            objects: token.object_count(),
            sessions: token.session_count(),
            faults: self.faults.list(),
        })
    }
}
