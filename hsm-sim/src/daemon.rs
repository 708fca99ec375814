//! The daemon: a thread per connection, one token behind a lock.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::{fs, io, thread};

use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::{AdminRequest, AdminResponse, Status};
use crate::faults::{Fault, Faults};
pub use crate::listen::tls::Listen;
use crate::listen::{tls, unix};
use crate::token::{IvSource, Token};
use crate::wire::{Request, receive, send};

#[derive(Clone)]
struct Device {
    token: Arc<Mutex<Token>>,
    faults: Arc<Faults>,
    /// Number of calls of the module, answered or not.
    calls: Arc<AtomicU64>,
    /// Connections of the module so far: sessions belong to their number.
    connections: Arc<AtomicU64>,
}

/// How a token is served.
pub struct Service {
    /// The folder of the token.
    pub dir: PathBuf,
    /// Where to listen; `hsm.sock` in `dir` if not said.
    pub socket: Option<PathBuf>,
    /// Where to listen for TLS beside that, if anywhere.
    pub tls: Option<Listen>,
    /// Who chooses the IV of each encryption.
    pub iv: IvSource,
    /// Whether the end of standard input ends the service.
    pub exit_on_stdin_close: bool,
}

/// Serves a token until SIGTERM, SIGINT or, if so wished, the end of standard input.
///
/// # Errors
/// When the token does not open or a socket cannot be made.
pub fn serve(service: &Service) -> io::Result<()> {
    let dir = &service.dir;
    let socket = service.socket.clone();
    let socket = socket.unwrap_or_else(|| dir.join("hsm.sock"));
    let ended = end_of_service(service.exit_on_stdin_close)?;
    let faults = Arc::new(Faults::default());
    let token = Arc::new(Mutex::new(Token::open(
        dir,
        Arc::clone(&faults),
        service.iv,
    )?));
    let device = Device {
        token: Arc::clone(&token),
        faults,
        calls: Arc::default(),
        connections: Arc::default(),
    };
    let admin = dir.join("admin.sock");
    let address = listen(device, &admin, &socket, service.tls.as_ref())?;
    let address = address.map_or_else(String::new, |address| format!(" {address}"));
    // A device serves, whether anybody reads that it does or not.
    let _ = writeln!(io::stdout(), "hsm-sim ready {}{address}", socket.display());
    // An error means that nobody is left who could send: no reason to go on.
    let _ = ended.recv();
    // No commit is under way while we hold the token.
    let _quiet = token.lock();
    let _ = fs::remove_file(socket);
    let _ = fs::remove_file(admin);
    Ok(())
}

/// Opens the device to operators and modules, and tells its address for TLS.
fn listen(
    device: Device,
    admin: &Path,
    socket: &Path,
    tls: Option<&Listen>,
) -> io::Result<Option<SocketAddr>> {
    // What fails most easily comes first: no socket is left behind.
    let listener = tls.map(tls::Listener::bind).transpose()?;
    let address = listener.as_ref().map(tls::Listener::address).transpose()?;
    let operated = device.clone();
    unix::listen(admin, move |stream| operated.administer(stream))?;
    let local = device.clone();
    unix::listen(socket, move |stream| local.converse(stream))?;
    if let Some(listener) = listener {
        listener.serve(move |stream| device.converse(stream));
    }
    Ok(address)
}

/// Tells once that the service shall end.
fn end_of_service(with_stdin: bool) -> io::Result<mpsc::Receiver<()>> {
    let (sender, ended) = mpsc::channel();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let signalled = sender.clone();
    thread::spawn(move || {
        signals.forever().next();
        signalled.send(())
    });
    if with_stdin {
        // A parent that was killed cannot tell us, but its end of the pipe closes.
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            sender.send(())
        });
    }
    Ok(ended)
}

impl Device {
    fn converse(&self, mut stream: impl Read + Write) {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        while let Ok(request) = receive::<Request>(&mut stream) {
            self.calls.fetch_add(1, Ordering::Relaxed);
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
            if send(&mut stream, &self.answer(request)).is_err() {
                break;
            }
        }
    }

    fn answer(&self, request: AdminRequest) -> AdminResponse {
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
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.list(),
        })
    }
}
