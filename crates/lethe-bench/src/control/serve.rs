//! Accepting and serving, in each of the ways that [`Threads`] names.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{Control, Http, Threads};
use crate::error::BenchError;

const BACKLOG: u32 = 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What serves one connection.
#[derive(Clone)]
struct Service {
    settings: Control,
    acceptor: TlsAcceptor,
    router: Router,
}

pub(super) fn run(
    settings: &Control,
    acceptor: TlsAcceptor,
    router: Router,
) -> Result<(), BenchError> {
    let service = Service {
        settings: settings.clone(),
        acceptor,
        router,
    };
    match settings.threads {
        Threads::Shared => shared(service),
        Threads::HandOver => hand_over(service),
        Threads::Reuseport => reuseport(service),
    }
    .map_err(BenchError::io("the control server"))
}

fn shared(service: Service) -> std::io::Result<()> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(service.settings.workers)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = listen(service.settings.listen, false)?;
        announce(listener.local_addr()?)?;
        accept(listener, |socket| {
            tokio::spawn(service.clone().serve(socket));
        })
        .await
    })
}

fn hand_over(service: Service) -> std::io::Result<()> {
    let workers: Vec<_> = (0..service.settings.workers)
        .map(|_| worker(service.clone()))
        .collect();
    let mut turn = workers.iter().cycle();
    current_thread()?.block_on(async {
        let listener = listen(service.settings.listen, false)?;
        announce(listener.local_addr()?)?;
        accept(listener, |socket| {
            // A socket leaves this runtime's reactor before another registers it.
            if let (Some(worker), Ok(socket)) = (turn.next(), socket.into_std()) {
                let _closed_at_exit = worker.send(socket);
            }
        })
        .await
    })
}

fn worker(service: Service) -> mpsc::UnboundedSender<std::net::TcpStream> {
    let (sender, mut sockets) = mpsc::unbounded_channel();
    std::thread::spawn(move || -> std::io::Result<()> {
        current_thread()?.block_on(async {
            while let Some(socket) = sockets.recv().await {
                tokio::spawn(service.clone().serve(TcpStream::from_std(socket)?));
            }
            Ok(())
        })
    });
    sender
}

fn reuseport(service: Service) -> std::io::Result<()> {
    // All of them listen before the address is printed.
    let listeners = shared_port(service.settings.listen, service.settings.workers)?;
    if let Some(first) = listeners.first() {
        announce(first.local_addr()?)?;
    }
    let serve = |listener: std::net::TcpListener| {
        let service = service.clone();
        std::thread::spawn(move || {
            current_thread()?.block_on(async {
                accept(TcpListener::from_std(listener)?, |socket| {
                    tokio::spawn(service.clone().serve(socket));
                })
                .await
            })
        })
    };
    let threads: Vec<_> = listeners.into_iter().map(serve).collect();
    threads.into_iter().try_for_each(|thread| {
        thread
            .join()
            .map_err(|_| std::io::Error::other("a worker"))?
    })
}

/// One listening socket for each worker, on one address.
fn shared_port(address: SocketAddr, workers: usize) -> std::io::Result<Vec<std::net::TcpListener>> {
    current_thread()?.block_on(async {
        let first = listen(address, true)?;
        let address = first.local_addr()?;
        let mut all = vec![first.into_std()?];
        while all.len() < workers {
            all.push(listen(address, true)?.into_std()?);
        }
        Ok(all)
    })
}

fn current_thread() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

fn listen(address: SocketAddr, share_port: bool) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(share_port)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, mut serve: impl FnMut(TcpStream)) -> std::io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        serve(socket);
    }
}

fn announce(address: SocketAddr) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "control ready https://{address}")
}

impl Service {
    /// A failed handshake or connection ends alone: the load generator sees it.
    async fn serve(self, socket: TcpStream) {
        if socket.set_nodelay(!self.settings.delay).is_err() {
            return;
        }
        let Ok(stream) = self.acceptor.accept(socket).await else {
            return;
        };
        let io = TokioIo::new(stream);
        let router = TowerToHyperService::new(self.router);
        let timeout = self.settings.head_timeout.then_some(HEAD_TIMEOUT);
        let vectored = !self.settings.flatten;
        match self.settings.http {
            Http::Auto => {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder
                    .http1()
                    .timer(TokioTimer::new())
                    .header_read_timeout(timeout)
                    .writev(vectored);
                let _ended = builder.serve_connection(io, router).await;
            }
            Http::Http1 => {
                let mut builder = http1::Builder::new();
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(timeout)
                    .writev(vectored);
                let _ended = builder.serve_connection(io, router).await;
            }
        }
    }
}
