//! TLS handshakes, on threads of their own: neither requests of clients nor timers wait for what a handshake
//! computes. How much a client may send in one is bounded.

mod failure;
mod stream;
mod threads;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use lethe_core::ports::Clock as _;
use lethe_tls::is_hybrid;
use parking_lot::Mutex;
use rustls::NamedGroup;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

pub use failure::Failure;
use failure::FailureLog;
pub use stream::ClientStream;
use threads::{HandshakeThreads, Timed};

use super::{Session, Tls};
use crate::identity::{Gate, SpiffeId};
use crate::node::clock::HandshakeClock;
use crate::observability::metrics::Metrics;

/// Number of clients without a hybrid key exchange that are remembered.
const MOST_REMEMBERED: usize = 100;

/// Runs handshakes.
#[derive(Debug)]
pub struct Handshakes {
    threads: HandshakeThreads,
    metrics: Metrics,
    log: FailureLog,
    classical: Mutex<VecDeque<SpiffeId>>,
}

/// A client whose certificate was accepted.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The TLS connection.
    pub stream: TlsStream<ClientStream<S>>,
    /// The client's certificate and identity.
    pub session: Arc<Session>,
}

type Refused = (Failure, io::Error);

impl Handshakes {
    /// # Errors
    /// If no thread can be started.
    pub fn new(metrics: Metrics) -> io::Result<Self> {
        metrics.begin_failed_handshakes(Failure::COUNTED.map(Failure::label));
        Ok(Self {
            threads: HandshakeThreads::start()?,
            metrics,
            log: FailureLog::default(),
            classical: Mutex::default(),
        })
    }

    /// Makes a listener for tasks of [`Self::spawn`]. Its connections are polled on the threads for
    /// handshakes.
    ///
    /// # Errors
    /// If the system cannot poll it.
    pub fn listener(&self, listener: TcpListener) -> io::Result<TcpListener> {
        let listener = listener.into_std()?;
        let _entered = self.threads.handle().enter();
        TcpListener::from_std(listener)
    }

    /// Runs a task on the threads for handshakes.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.threads.handle().spawn(task)
    }

    /// The whole handshake of a connection, within `limit`, under the rules in force now, on the
    /// thread that polls: see [`Self::spawn`]. Why one
    /// fails is counted and logged here.
    ///
    /// # Errors
    /// The reason; the connection is dropped.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        address: IpAddr,
        gate: &Gate,
        limit: Duration,
    ) -> Result<Accepted<S>, Failure> {
        match self.run(stream, gate, limit).await {
            Ok(accepted) => {
                let group = group(&accepted.stream);
                self.metrics.handshake(group);
                if !is_hybrid(group) {
                    self.remember_classical(accepted.session.shown_id());
                }
                Ok(accepted)
            }
            Err((reason, error)) => {
                match reason {
                    Failure::Probe => self.metrics.probe(),
                    reason => self.metrics.failed_handshake(reason.label()),
                }
                self.log.note(reason, address, &error);
                Err(reason)
            }
        }
    }

    /// The clients that connected last with a classical key exchange, since the start.
    pub fn classical_clients(&self) -> Vec<SpiffeId> {
        self.classical.lock().iter().cloned().collect()
    }

    fn remember_classical(&self, client: Option<&SpiffeId>) {
        let Some(client) = client else {
            return;
        };
        let mut known = self.classical.lock();
        known.retain(|other| other != client);
        known.push_back(client.clone());
        if known.len() > MOST_REMEMBERED {
            known.pop_front();
        }
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        gate: &Gate,
        limit: Duration,
    ) -> Result<Accepted<S>, Refused> {
        let end = Instant::now() + limit;
        // Before the first byte there is nothing to compute.
        let stream = match timeout_at(end, ClientStream::begin(stream)).await {
            Ok(begun) => begun.map_err(|error| (Failure::Probe, error))?,
            Err(_) => return Err((Failure::Silent, io::ErrorKind::TimedOut.into())),
        };
        let (tls, trust) = {
            let rules = gate.rules();
            (rules.tls().clone(), rules.trust())
        };
        let handshake = Timed::new(handshake(stream, tls, trust), &self.metrics);
        match timeout_at(end, AssertUnwindSafe(handshake).catch_unwind()).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => Err((Failure::Internal, io::Error::other("it panicked"))),
            Err(_) => Err((Failure::TimedOut, io::ErrorKind::TimedOut.into())),
        }
    }
}

/// The messages of a handshake, then the certificates' facts.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: ClientStream<S>,
    tls: Tls,
    trust: u64,
) -> Result<Accepted<S>, Refused> {
    let refused = |error| (Failure::from_error(&error), error);
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = start.await.map_err(refused)?;
    let config = tls.config_for(&start.client_hello());
    let mut stream = start.into_stream(config).await.map_err(refused)?;
    stream.get_mut().0.handshake_is_done();
    let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
    let chain = chain.unwrap_or_default();
    let session = Session::new(chain, trust, HandshakeClock.now());
    let session = session.ok_or_else(|| {
        let error = io::Error::other("no certificate");
        (Failure::NoCertificate, error)
    })?;
    let session = Arc::new(session);
    Ok(Accepted { stream, session })
}

fn group<S>(stream: &TlsStream<ClientStream<S>>) -> NamedGroup {
    let group = stream.get_ref().1.negotiated_key_exchange_group();
    group.map_or(NamedGroup::Unknown(0), |group| group.name())
}
