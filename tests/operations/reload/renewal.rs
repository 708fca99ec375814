use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustls::version;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::api::{Api, tls_trusting};
use crate::support::line::{Line, Protocol};
use crate::support::{Dev, eventually, pki};

/// Clients that keep asking, on connections that stay and on ones that are new each time, with the
/// certificate that they have been given last.
struct Load {
    certificate: watch::Sender<PathBuf>,
    served: Arc<AtomicU64>,
    /// Requests of each client since it was given its certificate.
    since: Arc<Vec<AtomicU64>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

fn api(
    dev_listen: std::net::SocketAddr,
    trusted: &[PathBuf],
    certificate: &Path,
    http2: bool,
) -> Api {
    let tls = tls_trusting(trusted, Some(certificate), &[&version::TLS13]);
    let protocols: &[&str] = if http2 { &["h2"] } else { &["http/1.1"] };
    Api::at(dev_listen, tls, protocols)
}

impl Load {
    fn start(dev: &Dev, trusted: &[PathBuf], certificate: PathBuf) -> Self {
        let (certificate, given) = watch::channel(certificate);
        let served = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let since = Arc::new((0..6).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        let clients = (0..6).map(|number| {
            let (mut given, served, stop) = (given.clone(), Arc::clone(&served), Arc::clone(&stop));
            let (since, trusted, listen) = (Arc::clone(&since), trusted.to_vec(), dev.listen);
            let (http2, keeps) = (number % 2 == 0, number < 4);
            tokio::spawn(async move {
                let open = |path: &Path| api(listen, &trusted, path, http2);
                let mut current = open(&given.borrow_and_update().clone());
                while !stop.load(Ordering::Relaxed) {
                    let changed = given.has_changed().unwrap();
                    if changed || !keeps {
                        current = open(&given.borrow_and_update().clone());
                    }
                    if changed {
                        since[number].store(0, Ordering::Relaxed);
                    }
                    current.issue("chat", "room").await.ok(201);
                    served.fetch_add(1, Ordering::Relaxed);
                    since[number].fetch_add(1, Ordering::Relaxed);
                    if !keeps {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            })
        });
        Self {
            certificate,
            served: Arc::clone(&served),
            clients: clients.collect(),
            since,
            stop,
        }
    }

    /// Until every client has been served some more.
    async fn goes_on(&self) {
        let before: Vec<u64> = self
            .since
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .collect();
        eventually("every client is served", async || {
            assert!(self.clients.iter().all(|client| !client.is_finished()));
            let now = self.since.iter().map(|it| it.load(Ordering::Relaxed));
            now.zip(&before).all(|(now, before)| now > before + 5)
        })
        .await;
    }

    /// All clients go over to another certificate.
    async fn renew(&self, certificate: PathBuf) {
        for since in self.since.iter() {
            // Counts down to the one that is under way when it is given.
            since.store(u64::MAX / 2, Ordering::Relaxed);
        }
        self.certificate.send(certificate).unwrap();
        eventually("every client has renewed", async || {
            self.since
                .iter()
                .all(|it| (1..u64::MAX / 2).contains(&it.load(Ordering::Relaxed)))
        })
        .await;
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.served.load(Ordering::Relaxed)
    }
}

async fn renew_the_ca(new_name: &str, with_crl: bool) {
    let dev = if with_crl {
        Dev::start_with_crl()
    } else {
        Dev::start()
    };
    let (old, new) = (dev.pki(), dev.scratch().join("new"));
    pki::authority(&new, new_name);
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    let trusted = [old.join("ca.crt"), new.join("ca.crt")].map(|path| {
        // Its own copy: the service's file is about to change.
        let copy = dev.scratch().join(format!(
            "{}.crt",
            path.parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
        ));
        std::fs::copy(&path, &copy).unwrap();
        copy
    });
    let before = pki::client(&old, &dev.scratch().join("before"), "message-server");
    let load = Load::start(&dev, &trusted, before.clone());
    load.goes_on().await;

    // 1. Both CAs, and their lists.
    let bundle = dev.pki().join("ca.crt");
    let authority = read(&old, "ca.crt");
    let both = [authority, read(&new, "ca.crt")].concat();
    dev.reload(|| {
        if with_crl {
            pki::revoke(&new, &[]);
            let lists = [read(&old, "ca.crl"), read(&new, "ca.crl")].concat();
            pki::put(&old.join("ca.crl"), &lists);
        }
        pki::put(&bundle, &both);
    })
    .await;
    load.goes_on().await;

    // 2. The server's certificate, and then its key: a moment in between that must not count.
    let server = dev.scratch().join("server");
    pki::server(&new, &server);
    dev.reload(|| {
        pki::put(
            &old.join("server.crt"),
            &std::fs::read(server.with_extension("crt")).unwrap(),
        );
        std::thread::sleep(Duration::from_millis(100));
        pki::put(
            &old.join("server.key"),
            &std::fs::read(server.with_extension("key")).unwrap(),
        );
    })
    .await;
    load.goes_on().await;
    let own = read(&new, "ca.crt");

    // 3. Clients.
    let after = pki::client(&new, &dev.scratch().join("after"), "message-server");
    load.renew(after.clone()).await;
    load.goes_on().await;

    // 4. The new CA alone.
    dev.reload(|| {
        if with_crl {
            pki::put(&old.join("ca.crl"), &read(&new, "ca.crl"));
        }
        pki::put(&bundle, &own);
    })
    .await;
    load.goes_on().await;
    assert!(load.end().await > 100);
    assert!(
        Line::try_open(&dev, &before, Protocol::Http2)
            .await
            .is_none()
    );
    Line::open(&dev, &after, Protocol::Http2).await;
    // Nobody was cut off but those that had left their old connections open.
    let cut_off = dev.metric("lethe_connections_cut_off_total").await;
    assert!(cut_off <= 4, "{cut_off}");
    let failed = dev
        .audit()
        .lines()
        .filter(|line| {
            line.contains("\"operation\":\"issue\"") && !line.contains("\"outcome\":\"ok\"")
        })
        .count();
    assert_eq!(failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ca_is_renewed_under_load_without_one_failed_request() {
    renew_the_ca("New CA", false).await;
}

/// Under its old name, as a CA is that only gets a new key, and with revocation lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_of_the_same_name_with_lists_is_renewed_under_load_too() {
    renew_the_ca("Lethe development CA", true).await;
}
