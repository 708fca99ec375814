//! What it costs to let a request in: who it is, what it is granted, its quota, the ceiling on
//! different conversations and its place among the requests under way, each as `src/http` asks for
//! it. `cargo bench -p lethe --bench admission`; the target of all of it together is 2 us.
#![allow(clippy::unwrap_used)] // a benchmark fails by panicking
#![allow(missing_docs)] // divan makes functions public

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divan::{Bencher, black_box};
use lethe::admission::{Account, Admission};
use lethe::config::{AccessSection, CeilingSection, ClientEntry, LimitsSection, QuotaSection};
use lethe::identity::tls::{Session, Tls};
use lethe::identity::{Access, Gate, Role, SpiffeId};
use lethe::limits::{Kind, Limits};
use lethe::node::clock::HandshakeClock;
use lethe::observability::metrics::Metrics;
use lethe::pki::Authority;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::Clock;
use lethe_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn main() {
    divan::main();
}

const DAY: Duration = Duration::from_secs(86_400);
/// Entries in `[[access.client]]` beside the caller's.
const OTHERS: usize = 1_000;
/// Conversations that the caller unwraps in turn; all below the ceiling.
const CONVERSATIONS: u64 = 10_000;

/// A client's open connection, and the rules it is under.
struct World {
    gate: Gate,
    session: Session,
    limits: Limits,
    account: Arc<Account>,
    keyspace: KeyspaceName,
    keyspace_id: KeyspaceId,
    conversations: Vec<String>,
    next: AtomicU64,
}

impl World {
    /// The caller's grant is a pattern, the slower way, among many others.
    fn new() -> Self {
        let client: SpiffeId = "spiffe://bench/chat/eu/host-1".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let now = HandshakeClock.now();
        Authority::create(folder.path(), "Bench CA", now, DAY).unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let names = ["localhost".to_owned()];
        authority
            .issue_server(&path("server"), &names, now, DAY)
            .unwrap();
        authority
            .issue_client(&path("client"), &client, now, DAY)
            .unwrap();
        let file = |name: &str| path(name).display().to_string();
        let (certificate, key, ca) = (file("server.crt"), file("server.key"), file("ca.crt"));
        let section = format!(
            "listen = '127.0.0.1:0'\ncertificate = '{certificate}'\nkey = '{key}'\nclient_ca = '{ca}'"
        );
        let tls = Tls::load(&toml::from_str(&section).unwrap(), now).unwrap();
        let chain = CertificateDer::pem_file_iter(path("client.crt")).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let gate = Gate::new(access(), tls);
        let session = Session::new(chain, gate.rules().trust(), now).unwrap();
        let admission = Admission::new(10, &limits(), Metrics::new().0);
        let address = [127, 0, 0, 1].into();
        let rules = gate.rules();
        let connected = admission.connect(Some(&client), rules.access(), address, &Arc::default());
        let account = connected.unwrap().0;
        drop(rules);
        Self {
            session,
            account,
            gate,
            limits: Limits::new(&limits(), Metrics::new().0),
            keyspace: "chat-eu".parse().unwrap(),
            keyspace_id: KeyspaceId::from_bytes([7; 16]),
            conversations: (0..CONVERSATIONS)
                .map(|it| format!("room-{it:010}"))
                .collect(),
            next: AtomicU64::new(0),
        }
    }

    fn identify(&self) -> SpiffeId {
        let rules = self.gate.rules();
        let client = self.session.client(&rules, HandshakeClock.now());
        client.unwrap().clone()
    }

    fn authorize(&self, client: &SpiffeId) {
        let rules = self.gate.rules();
        let grant = rules.access().grant(client).unwrap();
        assert!(grant.role == Role::MessageServer && grant.allows(&self.keyspace));
    }

    fn quota(&self, client: &SpiffeId, now: Timestamp) {
        self.limits.take(client, Kind::Unwrap, 1, now).unwrap();
    }

    fn ceiling(&self, client: &SpiffeId, now: Timestamp) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % CONVERSATIONS;
        let conversation = self.conversations[number as usize].as_str();
        let once = std::iter::once(conversation);
        let counted = self.limits.unwrap(client, self.keyspace_id, once, now);
        counted.unwrap();
    }

    fn whole(&self, now: Timestamp) {
        let mut permit = self.account.request();
        assert!(permit.begin_body(100) && permit.admit());
        let client = self.identify();
        self.authorize(&client);
        self.quota(&client, now);
        self.ceiling(&client, now);
        drop(black_box(permit));
    }
}

fn access() -> Access {
    let entry = |id: String, keyspaces: &str| ClientEntry {
        spiffe_id: id.parse().unwrap(),
        role: Role::MessageServer,
        keyspaces: vec![keyspaces.parse().unwrap()],
    };
    let others = (0..OTHERS).map(|it| entry(format!("spiffe://bench/other/{it}"), "other-*"));
    let caller = entry("spiffe://bench/chat/*".into(), "chat-*");
    Access::new(&AccessSection {
        client: others.chain([caller]).collect(),
    })
}

/// All that can be switched on, and never reached.
fn limits() -> LimitsSection {
    let quota = QuotaSection {
        per_second: NonZeroU32::new(1_000_000_000).unwrap(),
        burst: NonZeroU32::new(1_000_000_000).unwrap(),
    };
    LimitsSection {
        issue: Some(quota),
        unwrap: Some(quota),
        shred: Some(quota),
        conversations: Some(CeilingSection {
            most: NonZeroU32::new(1_000_000).unwrap(),
            window: Duration::from_secs(3_600),
            stop: true,
        }),
        ..LimitsSection::default()
    }
}

#[divan::bench(threads = [1, 2])]
fn identify(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.bench(|| world.identify());
}

#[divan::bench(threads = [1, 2])]
fn authorize(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let client = world.identify();
    bencher.bench(|| world.authorize(black_box(&client)));
}

#[divan::bench(threads = [1, 2])]
fn quota(bencher: Bencher<'_, '_>) {
    let (world, now) = (World::new(), HandshakeClock.now());
    let client = world.identify();
    bencher.bench(|| world.quota(black_box(&client), now));
}

#[divan::bench(threads = [1, 2])]
fn ceiling(bencher: Bencher<'_, '_>) {
    let (world, now) = (World::new(), HandshakeClock.now());
    let client = world.identify();
    bencher.bench(|| world.ceiling(black_box(&client), now));
}

/// What an unwrap pays when everything is switched on.
#[divan::bench(threads = [1, 2])]
fn whole(bencher: Bencher<'_, '_>) {
    let (world, now) = (World::new(), HandshakeClock.now());
    bencher.bench(|| world.whole(now));
}
