use std::path::Path;
use std::rc::Rc;

use tempfile::TempDir;

use super::Peer;
use super::keys::{BatchIssue, BatchUnwrap, Issue, Issued, Keys, Unwrap, issue_all};
use super::load::{BODY, control_workload};
use super::results::{Case, Results};
use super::targets::{BATCH_CONNECTIONS, names};
use crate::error::BenchError;
use crate::load::{Anew, Workload};
use crate::peers::{Lethe, OpenBao, Server, find_or_fetch, start_control};

/// Over how many connections single operations are sent.
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// The same for those whose throughput must not fall with more of them.
const MANY_CONNECTIONS: [usize; 5] = [1, 16, 64, 256, 1_024];
/// How many connect at once where each request has a connection of its own.
const AT_ONCE: [usize; 2] = [4, 16];
/// Conversations of a warm workload.
const FEW: u64 = 64;
/// Conversations of a cold one: more than a cache within the memory limit of the service holds
/// for long, and the number of the target for the database.
const MANY: u64 = 1_000_000;
/// Keys of a warm batch workload.
const WARM_KEYS: u64 = 64_000;
const KEYSPACE: &str = "chat";
/// A file system without a disk.
const MEMORY_FILES: &str = "/dev/shm";

/// One case on one server.
pub(super) struct Step {
    pub(super) case: Case,
    pub(super) workload: Rc<dyn Workload>,
    server: usize,
}

/// All servers, running, and what is done to them in each round.
pub(super) struct Plan {
    servers: Vec<Running>,
    steps: Vec<Step>,
    /// Removed after the servers have stopped: fields drop in this order.
    folders: Vec<TempDir>,
}

enum Running {
    Control(Server),
    Lethe(Lethe),
    OpenBao(OpenBao),
}

impl Running {
    fn server(&self) -> &Server {
        match self {
            Self::Control(server) => server,
            Self::Lethe(lethe) => &lethe.server,
            Self::OpenBao(openbao) => &openbao.server,
        }
    }
}

impl Plan {
    /// Starts the servers and issues the keys that are unwrapped.
    pub(super) async fn make(
        only: &[Peer],
        work: &Path,
        openbao_cache: &Path,
        results: &mut Results,
    ) -> Result<Self, BenchError> {
        let mut plan = Self {
            servers: Vec::new(),
            steps: Vec::new(),
            folders: Vec::new(),
        };
        if only.contains(&Peer::Control) {
            plan.add_control(work)?;
        }
        if only.contains(&Peer::Lethe) {
            plan.add_lethe(work, results).await?;
            plan.add_lethe_without_disk().await?;
        }
        if only.contains(&Peer::Openbao) {
            match find_or_fetch(openbao_cache) {
                Ok(binary) => plan.add_openbao(&binary, work).await?,
                Err(error) => results.missing.push(format!("OpenBao: {error}")),
            }
        }
        // Stable: the servers alternate within each number of connections.
        plan.steps.sort_by_key(|step| step.case.connections);
        Ok(plan)
    }

    /// Leaves out all steps but those of these cases and numbers of connections; an empty list chooses all.
    pub(super) fn choose(&mut self, cases: &[String], connections: &[usize]) {
        self.steps.retain(|Step { case, .. }| {
            (cases.is_empty() || cases.iter().any(|it| it == case.name))
                && (connections.is_empty() || connections.contains(&case.connections))
        });
    }

    /// What to do in a round, in order.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The server of a step.
    pub(super) fn server(&self, step: &Step) -> &Server {
        self.servers[step.server].server()
    }

    /// Lethe on disk.
    pub(super) fn lethe(&self) -> Option<&Lethe> {
        self.servers.iter().find_map(|running| match running {
            Running::Lethe(lethe) => Some(lethe),
            _ => None,
        })
    }

    fn folder(&mut self, within: &Path) -> Result<std::path::PathBuf, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("lethe-bench-")
            .tempdir_in(within);
        let folder = folder.map_err(BenchError::io("a temporary folder"))?;
        // Absolute: OpenBao and the service may resolve paths elsewhere.
        let path = folder
            .path()
            .canonicalize()
            .map_err(BenchError::io("a temporary folder"))?;
        self.folders.push(folder);
        Ok(path)
    }

    /// The next server's steps, at each of `connections`.
    fn add_steps(&mut self, name: &'static str, connections: &[usize], workload: Rc<dyn Workload>) {
        for &connections in connections {
            self.steps.push(Step {
                case: Case { name, connections },
                workload: workload.clone(),
                server: self.servers.len(),
            });
        }
    }

    fn add_control(&mut self, work: &Path) -> Result<(), BenchError> {
        let server = start_control(&self.folder(work)?)?;
        let workload = || control_workload(server.endpoint.address, BODY);
        self.add_steps(names::CONTROL, &MANY_CONNECTIONS, Rc::new(workload()));
        self.add_steps(names::CONTROL_ANEW, &AT_ONCE, Rc::new(Anew(workload())));
        self.servers.push(Running::Control(server));
        Ok(())
    }

    async fn add_lethe(&mut self, work: &Path, results: &mut Results) -> Result<(), BenchError> {
        let lethe = Lethe::start(&self.folder(work)?)?;
        let endpoint = &lethe.server.endpoint;
        let keys = Keys::for_keyspace(endpoint.address, KEYSPACE);
        let warm = issue_all(endpoint, KEYSPACE, WARM_KEYS, 0, FEW).await?;
        let before = lethe.database_bytes();
        let cold = issue_all(endpoint, KEYSPACE, MANY, 0, MANY).await?;
        let growth = lethe.database_bytes() as f64 - before as f64;
        results.note(names::DATABASE_GROWTH, growth);

        let issue = || Issue {
            keys: keys.clone(),
            first: 0,
            conversations: FEW,
        };
        self.add_steps(names::ISSUE, &MANY_CONNECTIONS, Rc::new(issue()));
        self.add_steps(names::ISSUE_ANEW, &AT_ONCE, Rc::new(Anew(issue())));
        self.add_steps(names::UNWRAP, &CONNECTIONS, unwrap(&keys, &warm));
        self.add_steps(names::UNWRAP_COLD, &CONNECTIONS, unwrap(&keys, &cold));
        let batches = &[BATCH_CONNECTIONS];
        let issue = BatchIssue {
            keys: keys.clone(),
            first: 0,
            conversations: MANY,
        };
        self.add_steps(names::BATCH_ISSUE, batches, Rc::new(issue));
        self.add_steps(
            names::BATCH_UNWRAP,
            batches,
            Rc::new(BatchUnwrap::new(&keys, warm)),
        );
        self.add_steps(
            names::BATCH_UNWRAP_COLD,
            batches,
            Rc::new(BatchUnwrap::new(&keys, cold)),
        );
        self.servers.push(Running::Lethe(lethe));
        Ok(())
    }

    /// A diagnostic: all its files in memory, so that flushing the audit log waits for nothing.
    async fn add_lethe_without_disk(&mut self) -> Result<(), BenchError> {
        let lethe = Lethe::start(&self.folder(Path::new(MEMORY_FILES))?)?;
        let endpoint = &lethe.server.endpoint;
        let keys = Keys::for_keyspace(endpoint.address, KEYSPACE);
        let warm = issue_all(endpoint, KEYSPACE, WARM_KEYS, 0, FEW).await?;
        let issue = Issue {
            keys: keys.clone(),
            first: 0,
            conversations: FEW,
        };
        self.add_steps(names::ISSUE_NO_DISK, &CONNECTIONS, Rc::new(issue));
        self.add_steps(names::UNWRAP_NO_DISK, &CONNECTIONS, unwrap(&keys, &warm));
        self.servers.push(Running::Lethe(lethe));
        Ok(())
    }

    async fn add_openbao(&mut self, binary: &Path, work: &Path) -> Result<(), BenchError> {
        for (name, audit) in [(names::OPENBAO, false), (names::OPENBAO_AUDIT, true)] {
            let openbao = OpenBao::start(binary, &self.folder(work)?, audit).await?;
            self.add_steps(name, &CONNECTIONS, Rc::new(openbao.data_keys()));
            self.servers.push(Running::OpenBao(openbao));
        }
        Ok(())
    }
}

fn unwrap(keys: &Keys, issued: &Rc<[Issued]>) -> Rc<dyn Workload> {
    Rc::new(Unwrap {
        keys: keys.clone(),
        issued: issued.clone(),
    })
}
