//! Stands between the store and its server, and changes what they say.

use std::io::{Read, Result, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use lethe_testkit::postgres::PORT;
use tempfile::TempDir;

/// What becomes of a message.
#[derive(Clone, Copy)]
pub(crate) struct Edits {
    /// The first message of a client, without its length.
    pub(crate) startup: fn(&mut [u8]),
    /// A message of the server: its kind, and the rest. False drops it.
    pub(crate) server: fn(u8, &mut [u8]) -> bool,
}

/// That changes nothing.
pub(crate) const NO_EDITS: Edits = Edits {
    startup: |_| {},
    server: |_, _| true,
};

/// While it is true, nothing of the server passes.
type Held = Arc<(Mutex<bool>, Condvar)>;

pub(crate) struct Pooler {
    folder: TempDir,
    held: Held,
    clients: Arc<Mutex<Vec<UnixStream>>>,
}

impl Pooler {
    pub(crate) fn new(server: &Path, edits: Edits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = |folder: &Path| folder.join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let server = socket(server);
        let clients = Arc::<Mutex<Vec<UnixStream>>>::default();
        let held = Held::default();
        let (accepted, hold) = (Arc::clone(&clients), Arc::clone(&held));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepted.lock().unwrap().extend(client.try_clone());
                let _ = serve(client, &server, edits, Arc::clone(&hold));
            }
        });
        Self {
            folder,
            held,
            clients,
        }
    }

    /// As a machine that is gone, or a network: connections stay, and no answer comes.
    pub(crate) fn hold(&self, hold: bool) {
        *self.held.0.lock().unwrap() = hold;
        self.held.1.notify_all();
    }

    /// Ends all connections of clients.
    pub(crate) fn cut(&self) {
        for client in self.clients.lock().unwrap().drain(..) {
            // Some have ended.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        self.folder.path()
    }
}

fn serve(mut client: UnixStream, server: &PathBuf, edits: Edits, held: Held) -> Result<()> {
    let mut server = UnixStream::connect(server)?;
    let (length, mut startup) = rest(&mut client)?;
    (edits.startup)(&mut startup);
    server.write_all(&[&length[..], &startup].concat())?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || -> Result<()> {
        loop {
            let mut kind = [0];
            server.read_exact(&mut kind)?;
            let (length, mut body) = rest(&mut server)?;
            let on_hold = held.0.lock().unwrap();
            drop(held.1.wait_while(on_hold, |held| *held).unwrap());
            if (edits.server)(kind[0], &mut body) {
                client.write_all(&[&kind[..], &length, &body].concat())?;
            }
        }
    });
    Ok(())
}

/// The length of a message, which counts itself, and what follows it.
fn rest(stream: &mut UnixStream) -> Result<([u8; 4], Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body)?;
    Ok((length, body))
}

/// Writes other bytes over the first place where some stand.
pub(crate) fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let found = bytes.windows(from.len()).position(|window| window == from);
    if let Some(found) = found {
        bytes[found..found + to.len()].copy_from_slice(to);
    }
}
