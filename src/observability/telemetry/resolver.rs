//! Where the collector's name points to, asked of the system on a thread of its own. One of the
//! runtime's would do for all but the end: a runtime waits for what blocks in it, and a resolver whose
//! servers are away takes as long as it likes and cannot be told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

/// Blocks until there is an answer.
pub(super) type LookUp = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// As the system has it: files, DNS, whatever is configured.
pub(super) fn system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Looks names up, one at a time.
#[derive(Debug)]
pub(super) struct Resolver {
    look_up: LookUp,
    /// Held by the thread: one that hangs is not joined by others.
    turn: Arc<Mutex<()>>,
}

impl Resolver {
    pub(super) fn new(look_up: LookUp) -> Self {
        Self {
            look_up,
            turn: Arc::default(),
        }
    }

    /// The addresses of a name, or the one that it is. Whoever calls sets the time limit.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (tell, told) = oneshot::channel();
        let (look_up, host) = (self.look_up, host.to_owned());
        std::thread::Builder::new()
            .name("lethe-resolver".into())
            .spawn(move || {
                // Nobody may wait for it any more.
                let _ = tell.send(look_up(&host, port));
                drop(turn);
            })?;
        told.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_and_addresses_are_not() {
        let resolver = Resolver::new(system);
        let found = resolver.addresses("localhost", 4_318).await.unwrap();
        assert!(
            found
                .iter()
                .all(|it| it.ip().is_loopback() && it.port() == 4_318)
        );
        assert!(!found.is_empty());
        let nobody = Resolver::new(|host, _| Err(io::Error::other(host.to_owned())));
        for (host, expected) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")] {
            let found = nobody.addresses(host, 80).await.unwrap();
            assert_eq!(found, [expected.parse().unwrap()]);
        }
        let unknown = nobody.addresses("collector.example", 80).await;
        assert_eq!(unknown.unwrap_err().to_string(), "collector.example");
    }

    #[tokio::test]
    async fn one_that_hangs_is_not_joined_by_others() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::new(|_, _| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            loop {
                std::thread::park();
            }
        });
        for _ in 0..3 {
            let patience = Duration::from_millis(50);
            let answer = timeout(patience, resolver.addresses("collector.example", 80)).await;
            assert!(answer.is_err());
        }
        let asked = async {
            while ASKED.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), asked).await.unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    }
}
