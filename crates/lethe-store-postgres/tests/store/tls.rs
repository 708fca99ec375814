//! TLS with a server: who it has to be, and who a client is.

use std::fs;
use std::path::{Path, PathBuf};

use lethe_core::ports::{BucketStore, StoreError};
use lethe_store_postgres::{Connect, PostgresStore, Tls};
use lethe_testkit::postgres::{Identity, ROLE, Server};
use lethe_testkit::store_contract::bucket;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::site::{host, until_async};

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// Certificate and key, for an address or a role.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server whose certificate is for the first of its two addresses.
struct World {
    server: Server,
    addresses: [String; 2],
    authority: Authority,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("ours");
        let (server, addresses) = Server::with_tls(|addresses| {
            let (certificate, key) = authority.issue(&addresses[0]);
            Identity {
                certificate,
                key,
                ca: authority.certificate.clone(),
            }
        });
        server.sql("postgres", &format!("ALTER ROLE {ROLE} PASSWORD 'sesame'"));
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            server,
            addresses,
            authority,
            folder,
        };
        world.file("ca", &world.authority.certificate);
        world
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connect(&self, database: &str) -> Connect {
        Connect {
            hosts: vec![host("a", &self.addresses[0])],
            durable_on: 1,
            database: database.into(),
            user: ROLE.into(),
            password: Some("sesame".into()),
            tls: Some(Tls {
                ca: self.path("ca"),
                certificate: None,
            }),
        }
    }

    /// With the certificate that somebody has issued to a role.
    fn with_certificate(&self, connect: &Connect, by: &Authority, role: &str) -> Connect {
        let (certificate, key) = by.issue(role);
        let (certificate, key) = (
            self.file("certificate", &certificate),
            self.file("key", &key),
        );
        let tls = connect.tls.clone().unwrap();
        Connect {
            tls: Some(Tls {
                certificate: Some((certificate, key)),
                ..tls
            }),
            ..connect.clone()
        }
    }

    fn lock(&self) -> PathBuf {
        self.path("lock")
    }

    async fn refused(&self, connect: &Connect) -> String {
        match PostgresStore::create(connect, &self.lock()).await {
            Err(StoreError::Unavailable(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

async fn write_and_close(store: PostgresStore) {
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_known_by_its_certificate() {
    let world = World::new();
    let connect = world.connect(&world.server.database());
    let store = PostgresStore::create(&connect, &world.lock()).await;
    let encrypted = world.server.sql(
        "postgres",
        "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
         WHERE application_name LIKE 'lethe%'",
    );
    assert_eq!(encrypted, "t");
    let store = store.unwrap();
    let shown = format!("{store:?} {connect:?}");
    assert!(!shown.contains("sesame"), "{shown}");
    write_and_close(store).await;

    let other = Connect {
        hosts: vec![host("a", &world.addresses[1])],
        ..connect.clone()
    };
    let why = world.refused(&other).await;
    let begin =
        "connect: no TLS with PostgreSQL: invalid peer certificate: certificate not valid for name";
    assert!(why.starts_with(begin), "{why}");

    world.file("ca", &Authority::new("other").certificate);
    let why = world.refused(&connect).await;
    let expected = "connect: no TLS with PostgreSQL: invalid peer certificate: UnknownIssuer";
    assert_eq!(why, expected);

    fs::remove_file(world.path("ca")).unwrap();
    let why = world.refused(&connect).await;
    let begin = format!(
        "TLS of PostgreSQL: cannot read {}",
        world.path("ca").display()
    );
    assert!(why.starts_with(&begin), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_needed() {
    let world = World::new();
    let connect = world.connect(&world.server.database());
    for password in [None, Some("shut".to_owned())] {
        let wrong = Connect {
            password,
            ..connect.clone()
        };
        let expected = "connect: PostgreSQL does not let the role in: look at its password or certificate, \
                        and at pg_hba.conf (password authentication failed for user \"lethe\")";
        assert_eq!(world.refused(&wrong).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_certificate() {
    let world = World::new();
    world.server.sql(
        "postgres",
        "CREATE ROLE certified LOGIN; GRANT pg_read_all_stats TO certified",
    );
    world
        .server
        .sql("postgres", "CREATE DATABASE own OWNER certified");
    let nobody = Connect {
        user: "certified".into(),
        password: None,
        ..world.connect("own")
    };
    let why = world.refused(&nobody).await;
    let begin = "connect: PostgreSQL does not let the role in: look at its password or certificate";
    assert!(why.starts_with(begin), "{why}");
    let other_role = world.with_certificate(&nobody, &world.authority, "other");
    let why = world.refused(&other_role).await;
    assert!(why.starts_with(begin), "{why}");
    let other_ca = world.with_certificate(&nobody, &Authority::new("other"), "certified");
    let why = world.refused(&other_ca).await;
    assert!(why.starts_with("connect: no"), "{why}");
    let own = world.with_certificate(&nobody, &world.authority, "certified");
    let store = PostgresStore::create(&own, &world.lock()).await;
    write_and_close(store.unwrap()).await;
}

/// sqlx trusts all of these beside the operator's CA.
#[test]
fn no_other_ca_is_trusted() {
    assert_eq!(webpki_roots::TLS_SERVER_ROOTS.len(), 0);
}

/// Nothing is said in clear to a server without TLS, and nothing is asked of a socket that it cannot do.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_without_tls() {
    let world = World::new();
    let connect = world.connect(&world.server.database());
    world.server.sql("postgres", "ALTER SYSTEM SET ssl = off");
    world.server.reload();
    let expected = "connect: no TLS with PostgreSQL: server does not support TLS";
    let mut why = String::new();
    until_async("TLS is off", async || {
        match PostgresStore::create(&connect, &world.lock()).await {
            Ok(store) => store.close().await,
            Err(error) => why = error.to_string(),
        }
        why.ends_with(expected)
    })
    .await;
    let in_clear = Connect {
        tls: None,
        ..connect.clone()
    };
    let why = world.refused(&in_clear).await;
    let begin = "PostgreSQL is reached over a network without TLS";
    assert!(why.starts_with(begin), "{why}");
    let socket: &Path = world.server.socket();
    let on_socket = Connect {
        hosts: vec![host("a", socket.to_str().unwrap())],
        ..connect
    };
    let why = world.refused(&on_socket).await;
    assert_eq!(why, "PostgreSQL has no TLS on a socket: leave out either");
}
