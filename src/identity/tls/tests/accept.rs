use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lethe_tls::{KeyExchange, provider};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, NamedGroup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::parties::{Credentials, client_with, credentials, id, pki, tls};
use crate::config::AccessSection;
use crate::identity::tls::{Accepted, Failure, Handshakes};
use crate::identity::{Access, Gate};
use crate::observability::metrics::{Exposition, Metrics};

const LIMIT: Duration = Duration::from_secs(60);

/// A listener as the service has it, for one connection after the other.
struct Server {
    listener: TcpListener,
    handshakes: Handshakes,
    gate: Gate,
    exposition: Exposition,
}

impl Server {
    async fn start(folder: &Path, options: &str) -> Self {
        let (metrics, exposition) = Metrics::new();
        let access = Access::new(&AccessSection { client: Vec::new() });
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            handshakes: Handshakes::new(metrics).unwrap(),
            gate: Gate::new(access, tls(folder, options)),
            exposition,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn accept(&self, limit: Duration) -> Result<Accepted<TcpStream>, Failure> {
        let (tcp, peer) = self.listener.accept().await.unwrap();
        let handshakes = &self.handshakes;
        handshakes.accept(tcp, peer.ip(), &self.gate, limit).await
    }

    /// What becomes of a client that does something with its socket.
    async fn meets(
        &self,
        limit: Duration,
        client: impl AsyncFnOnce(TcpStream),
    ) -> Result<Accepted<TcpStream>, Failure> {
        let connect = async {
            client(TcpStream::connect(self.address()).await.unwrap()).await;
        };
        let (accepted, ()) = tokio::join!(self.accept(limit), connect);
        accepted
    }

    async fn meets_tls(&self, client: Arc<ClientConfig>) -> Result<Accepted<TcpStream>, Failure> {
        self.meets(LIMIT, async |tcp| {
            let name = "localhost".try_into().unwrap();
            if let Ok(mut stream) = TlsConnector::from(client).connect(name, tcp).await {
                // A refusal of TLS 1.3 comes after the client's own end of the handshake.
                let _ = stream.flush().await;
            }
        })
        .await
    }

    fn shows(&self, line: &str) {
        let text = self.exposition.text();
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
}

fn client(
    folder: &Path,
    who: Option<&str>,
    groups: &[&'static dyn SupportedKxGroup],
) -> Arc<ClientConfig> {
    let credentials: Option<Credentials> = who.map(|who| credentials(folder, who));
    let mut provider = (*provider(KeyExchange::HybridPreferred)).clone();
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    client_with(folder, credentials, &TLS13, provider.into())
}

fn group(accepted: &Accepted<TcpStream>) -> NamedGroup {
    let connection = accepted.stream.get_ref().1;
    connection.negotiated_key_exchange_group().unwrap().name()
}

#[tokio::test]
async fn who_knows_a_hybrid_key_exchange_uses_it_and_others_still_get_in() {
    let (folder, _) = pki();
    let server = Server::start(folder.path(), "").await;
    let offering =
        |groups: &[&'static dyn SupportedKxGroup]| client(folder.path(), Some("client"), groups);
    for (groups, expected) in [
        (&[][..], NamedGroup::X25519MLKEM768),
        (&[X25519MLKEM768], NamedGroup::X25519MLKEM768),
        // Preferred by us, not by the client, which has to begin again for it.
        (&[X25519, X25519MLKEM768], NamedGroup::X25519MLKEM768),
        (&[X25519], NamedGroup::X25519),
        (&[SECP256R1], NamedGroup::secp256r1),
    ] {
        let accepted = server.meets_tls(offering(groups)).await.unwrap();
        assert_eq!(group(&accepted), expected, "{groups:?}");
    }
    server.shows(r#"lethe_tls_handshakes_total{group="X25519MLKEM768"} 3"#);
    server.shows(r#"lethe_tls_handshakes_total{group="x25519"} 1"#);
    assert_eq!(server.handshakes.classical_clients(), [id()]);
}

#[tokio::test]
async fn where_a_hybrid_key_exchange_is_required_others_are_refused() {
    let (folder, _) = pki();
    let required = "key_exchange = 'hybrid-required'";
    let server = Server::start(folder.path(), required).await;
    let offering =
        |groups: &[&'static dyn SupportedKxGroup]| client(folder.path(), Some("client"), groups);
    let accepted = server.meets_tls(offering(&[X25519, X25519MLKEM768])).await;
    assert_eq!(group(&accepted.unwrap()), NamedGroup::X25519MLKEM768);
    for groups in [&[X25519][..], &[SECP256R1]] {
        let refused = server.meets_tls(offering(groups)).await;
        assert_eq!(refused.unwrap_err(), Failure::KeyExchange, "{groups:?}");
    }
    server.shows(r#"lethe_failed_handshakes_total{reason="key_exchange"} 2"#);
}

#[tokio::test]
async fn why_a_handshake_fails_is_counted() {
    let (folder, _) = pki();
    let folder = folder.path();
    let server = Server::start(folder, "").await;
    let refused = async |client| server.meets_tls(client).await.unwrap_err();
    assert_eq!(
        refused(client(folder, None, &[])).await,
        Failure::NoCertificate
    );
    assert_eq!(
        refused(client(folder, Some("server"), &[])).await,
        Failure::Purpose
    );
    let (other, _) = pki();
    let stranger = Some(credentials(other.path(), "client"));
    let provider = provider(KeyExchange::HybridPreferred);
    let stranger = client_with(folder, stranger, &TLS13, Arc::clone(&provider));
    assert_eq!(refused(stranger).await, Failure::UnknownIssuer);
    let own = Some(credentials(folder, "client"));
    let old = client_with(folder, own, &TLS12, provider);
    assert_eq!(refused(old).await, Failure::Version);
    let trusts_others = client(other.path(), Some("client"), &[]);
    assert_eq!(refused(trusts_others).await, Failure::RefusedByClient);
    let (mut chain, key) = credentials(folder, "client");
    chain.extend(vec![chain[0].clone(); 7]);
    let provider = lethe_tls::provider(KeyExchange::HybridPreferred);
    let long = client_with(folder, Some((chain, key)), &TLS13, provider);
    assert_eq!(refused(long).await, Failure::Chain);
    server.shows(r#"lethe_failed_handshakes_total{reason="no_certificate"} 1"#);
    server.shows(r#"lethe_failed_handshakes_total{reason="chain"} 1"#);
    server.shows("lethe_tcp_probes_total 0");
}

#[tokio::test]
async fn who_only_looks_whether_the_port_is_open_has_not_failed() {
    let (folder, _) = pki();
    let server = Server::start(folder.path(), "").await;
    let closed = server.meets(LIMIT, async |tcp| drop(tcp)).await;
    assert_eq!(closed.unwrap_err(), Failure::Probe);
    // With a reset instead of an orderly end.
    let reset = server.meets(LIMIT, async |tcp| tcp.set_zero_linger().unwrap());
    assert_eq!(reset.await.unwrap_err(), Failure::Probe);
    server.shows("lethe_tcp_probes_total 2");
    let text = server.exposition.text();
    let mut failed = text
        .lines()
        .filter(|line| line.starts_with("lethe_failed_handshakes_total{"));
    assert!(failed.all(|line| line.ends_with(" 0")), "{text}");
}

#[tokio::test]
async fn a_client_that_never_comes_to_an_end_is_given_up() {
    let (folder, _) = pki();
    let server = Server::start(folder.path(), "").await;
    // A hello of 60 kB that begins, in records of 1 kB.
    let begin = [&[22, 3, 1, 4, 0, 1, 0, 0xea, 0x60][..], &[0; 1_020]].concat();
    let more = [&[22, 3, 1, 4, 0][..], &[0; 1_024]].concat();
    let sent = async |mut tcp: TcpStream| {
        // It may be cut off while it sends.
        let _ = tcp.write_all(&begin).await;
        while tcp.write_all(&more).await.is_ok() {}
    };
    let endless = server.meets(LIMIT, sent).await.unwrap_err();
    assert_eq!(endless, Failure::TooManyBytes);
    let half = server.meets(LIMIT, async |mut tcp| tcp.write_all(&begin).await.unwrap());
    assert_eq!(half.await.unwrap_err(), Failure::Disconnected);
    let http = async |mut tcp: TcpStream| {
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    // An HTTP client waits for its answer, so the refusal has to close the connection.
    assert_eq!(
        server.meets(LIMIT, http).await.unwrap_err(),
        Failure::Protocol
    );
    let waits = async |mut tcp: TcpStream| {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    let short = Duration::from_millis(50);
    assert_eq!(
        server.meets(short, waits).await.unwrap_err(),
        Failure::Silent
    );
    let waits = async |mut tcp: TcpStream| {
        tcp.write_all(&[22, 3, 1]).await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    assert_eq!(
        server.meets(short, waits).await.unwrap_err(),
        Failure::TimedOut
    );
}
