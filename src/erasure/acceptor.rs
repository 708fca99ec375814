//! One task accepts: rows of many callers in one transaction, and from then on their keys are
//! refused.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::ApprovalDecision;
use lethe_core::batch::Ports;
use lethe_core::identity::DeploymentId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::receipt::ErasureId;
use tokio::sync::{mpsc, oneshot};

use super::accept_batch::AcceptBatch;
use super::pending::PendingErasures;
use super::request::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::approvals::{Approvals, Caller, Permission};
use crate::node::key_state::KeyState;

/// Items that go into one transaction, about.
const TOGETHER: usize = 4_096;
/// Calls that wait, at most.
const WAITING: usize = 1_024;
/// For a call to be accepted.
const PATIENCE: Duration = Duration::from_secs(10);

/// One caller's erasures, and where the answers go.
pub(super) struct Call {
    pub(super) keyspace: KeyspaceName,
    pub(super) requests: Vec<ErasureRequest>,
    /// For an erase and a drop.
    pub(super) id: Option<ErasureId>,
    pub(super) by: Authority,
    pub(super) answer: oneshot::Sender<Vec<Result<ErasureAnswer, AcceptError>>>,
}

/// What allows new erasures of a call.
pub(super) enum Authority {
    /// What [`Approvals::permit`] says of this client.
    Caller(Caller),
    /// This.
    Permission(Arc<Permission>),
}

impl Call {
    /// The approval that is given with it.
    pub(super) fn given(&self) -> Option<&ApprovalDecision> {
        match &self.by {
            Authority::Caller(_) => None,
            Authority::Permission(permission) => permission.given(),
        }
    }
}

/// Asks the acceptor.
#[derive(Clone)]
pub struct AcceptorHandle {
    calls: mpsc::Sender<Call>,
    pending_erasures: Arc<PendingErasures>,
}

impl AcceptorHandle {
    /// Accepts, or refuses, each of `requests`, in order: what is known already is answered, and what
    /// is new waits for a second operator where one is required
    /// ([`AcceptError::NeedsApproval`]). Runs to its end even when nobody waits any more.
    ///
    /// # Errors
    /// [`AcceptError`] of the whole call.
    pub async fn accept(
        &self,
        caller: &Caller,
        keyspace: KeyspaceName,
        id: Option<ErasureId>,
        requests: Vec<ErasureRequest>,
    ) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, AcceptError> {
        let by = Authority::Caller(caller.clone());
        self.ask(keyspace, id, requests, by).await
    }

    /// The same for what is permitted already.
    ///
    /// # Errors
    /// [`AcceptError`] of the whole call.
    pub async fn accept_permitted(
        &self,
        keyspace: KeyspaceName,
        requests: Vec<ErasureRequest>,
        permission: Permission,
    ) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, AcceptError> {
        let by = Authority::Permission(Arc::new(permission));
        self.ask(keyspace, None, requests, by).await
    }

    async fn ask(
        &self,
        keyspace: KeyspaceName,
        id: Option<ErasureId>,
        requests: Vec<ErasureRequest>,
        by: Authority,
    ) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, AcceptError> {
        let (answer, answered) = oneshot::channel();
        let call = Call {
            keyspace,
            requests,
            id,
            by,
            answer,
        };
        if self.pending_erasures.is_full() {
            return Err(AcceptError::Busy);
        }
        self.calls.try_send(call).map_err(|_| AcceptError::Busy)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answers) => answers.map_err(|_| AcceptError::Busy),
            Err(_) => Err(lethe_core::ports::StoreError::Unavailable("busy".into()).into()),
        }
    }
}

/// The task.
pub struct Acceptor {
    pub(super) deployment: DeploymentId,
    pub(super) ports: Ports,
    pub(super) key_state: Arc<KeyState>,
    pub(super) pending_erasures: Arc<PendingErasures>,
    pub(super) approvals: Arc<Approvals>,
    calls: mpsc::Receiver<Call>,
}

impl Acceptor {
    /// The task, and how to ask it.
    #[must_use]
    pub fn new(
        deployment: DeploymentId,
        ports: Ports,
        key_state: Arc<KeyState>,
        pending_erasures: Arc<PendingErasures>,
        approvals: Arc<Approvals>,
    ) -> (Self, AcceptorHandle) {
        let (sender, calls) = mpsc::channel(WAITING);
        let acceptor = Self {
            deployment,
            ports,
            key_state,
            pending_erasures,
            approvals,
            calls,
        };
        let handle = AcceptorHandle {
            calls: sender,
            pending_erasures: Arc::clone(&acceptor.pending_erasures),
        };
        (acceptor, handle)
    }

    /// Works until every handle is gone.
    pub async fn run(mut self) {
        while let Some(call) = self.calls.recv().await {
            let mut items = call.requests.len();
            let mut calls = vec![call];
            while items < TOGETHER
                && let Ok(call) = self.calls.try_recv()
            {
                items += call.requests.len();
                calls.push(call);
            }
            // Who has given up was told that nothing was accepted.
            calls.retain(|call| !call.answer.is_closed());
            // An approval and its erasures are one transaction, or none.
            let (approved, calls): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|it| it.given().is_some());
            for call in approved {
                AcceptBatch::new(&self, vec![call]).run().await;
            }
            if !calls.is_empty() {
                AcceptBatch::new(&self, calls).run().await;
            }
        }
    }
}
