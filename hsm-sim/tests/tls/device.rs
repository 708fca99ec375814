//! A daemon with a TLS listener, and calls to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use hsm_sim::tls::{Files, Server};
use hsm_sim::wire::{Answer, Request, Response, Secret, UserType, receive, send};
use rustls::{ClientConnection, StreamOwned};

use super::pki::Pki;

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A token, its certificates, and the daemon that serves it now.
pub(crate) struct Device {
    pub(crate) pki: Pki,
    temp: tempfile::TempDir,
    daemon: Child,
    /// Stays the same when the daemon is started again.
    pub(crate) address: String,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Device {
    pub(crate) fn start() -> Self {
        let (pki, temp) = (Pki::new(), tempfile::tempdir().unwrap());
        hsm_sim::token::initialise(&temp.path().join("token"), "t", b"12345678", b"1234").unwrap();
        let (daemon, address) = run(&mut serve(&temp, &pki.files("daemon"), "127.0.0.1:0"));
        Self {
            pki,
            temp,
            daemon,
            address,
        }
    }

    pub(crate) fn kill(&mut self) {
        // It may be dead already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }

    pub(crate) fn restart(&mut self) {
        let mut command = serve(&self.temp, &self.pki.files("daemon"), &self.address);
        let (daemon, address) = run(&mut command);
        self.daemon = daemon;
        assert_eq!(address, self.address);
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("token")
    }

    /// A command that would serve the same token with these files.
    pub(crate) fn another(&self, files: &Files) -> Command {
        serve(&self.temp, files, "127.0.0.1:0")
    }

    pub(crate) fn connect(&self, who: &str) -> io::Result<Stream> {
        let server = Server::new(&self.address, None, &self.pki.files(who)).unwrap();
        let (connection, tcp) = server.connect()?;
        Ok(StreamOwned::new(connection, tcp))
    }

    /// A connection with a session in which the user is logged in.
    pub(crate) fn log_in(&self) -> (Stream, u64) {
        let mut stream = self.connect("client").unwrap();
        let opened = call(&mut stream, &Request::OpenSession { read_write: true });
        let Ok(Answer::Session(session)) = opened else {
            panic!("{opened:?}")
        };
        let login = Request::Login {
            session,
            user: UserType::User,
            pin: Secret(b"1234".to_vec()),
        };
        call(&mut stream, &login).unwrap();
        (stream, session)
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Calls of modules since the daemon started, and their open sessions.
    pub(crate) fn calls_and_sessions(&self) -> (u64, usize) {
        let status = hsm_sim::admin::ask(&self.dir(), &hsm_sim::admin::AdminRequest::Status);
        let status = status.unwrap();
        (status.calls, status.sessions)
    }
}

fn serve(temp: &tempfile::TempDir, files: &Files, address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hsm-sim"));
    command.args(["serve", "--exit-on-stdin-close", "--listen", address]);
    command.arg("--dir").arg(temp.path().join("token"));
    command.arg("--cert").arg(&files.certificate);
    command.arg("--key").arg(&files.key);
    command.arg("--client-ca").arg(&files.ca);
    command
}

/// Starts a daemon that ends with this process, and reads where it listens.
fn run(command: &mut Command) -> (Child, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("hsm-sim ready "), "{line}");
    let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
    (child, address)
}

/// The outer error is the connection's.
pub(crate) fn call(stream: &mut (impl Read + Write), request: &Request) -> io::Result<Answer> {
    send(stream, request)?;
    Ok(receive::<Response>(stream)?.expect("the call succeeds"))
}
