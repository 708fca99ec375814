//! The task that accepts erasures: it writes those of many calls in one transaction. From then on their
//! keys are refused.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::ApprovalDecision;
use lethe_core::batch::Ports;
use lethe_core::identity::DeploymentId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::receipt::ErasureId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::accept_batch::AcceptBatch;
use super::pending::PendingErasures;
use super::request::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::node::key_state::KeyState;
use crate::permissions::{Caller, Permission, Permissions};

/// The task adds calls to a transaction until it has so many erasures.
const MAX_TOGETHER: usize = 4_096;
/// Calls that may wait for the task.
const MAX_WAITING: usize = 1_024;
/// How long a call waits for the answer of the task.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// The erasures of one call, and where the answers go.
pub(super) struct Call {
    pub(super) keyspace: KeyspaceName,
    pub(super) requests: Vec<ErasureRequest>,
    /// The caller's id for an erase or a drop.
    pub(super) id: Option<ErasureId>,
    pub(super) by: Authority,
    pub(super) answer: oneshot::Sender<Vec<Result<ErasureAnswer, AcceptError>>>,
}

/// What allows the new erasures of a call.
pub(super) enum Authority {
    /// [`Permissions::permit`] decides for this client.
    Caller(Caller),
    /// The caller has a permission already.
    Permission(Arc<Permission>),
}

impl Call {
    /// The approval that is carried out by this call.
    pub(super) fn approval(&self) -> Option<&ApprovalDecision> {
        match &self.by {
            Authority::Caller(_) => None,
            Authority::Permission(permission) => permission.approval(),
        }
    }
}

/// Sends calls to the acceptor.
#[derive(Clone)]
pub struct AcceptorHandle {
    calls: mpsc::Sender<Call>,
    pending_erasures: Arc<PendingErasures>,
}

impl AcceptorHandle {
    /// Accepts or refuses each request, and answers in their order. A known id gets its first answer. A
    /// new erasure that needs a second operator is refused with [`AcceptError::NeedsApproval`]. The task
    /// goes on even if the caller does not wait any more.
    ///
    /// # Errors
    /// [`AcceptError`] if the whole call is refused.
    pub async fn accept(
        &self,
        caller: &Caller,
        keyspace: KeyspaceName,
        id: Option<ErasureId>,
        requests: Vec<ErasureRequest>,
    ) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, AcceptError> {
        let by = Authority::Caller(caller.clone());
        self.send(keyspace, id, requests, by).await
    }

    /// The same for new erasures that `permission` covers.
    ///
    /// # Errors
    /// [`AcceptError`] if the whole call is refused.
    pub async fn accept_permitted(
        &self,
        keyspace: KeyspaceName,
        requests: Vec<ErasureRequest>,
        permission: Permission,
    ) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, AcceptError> {
        let by = Authority::Permission(Arc::new(permission));
        self.send(keyspace, None, requests, by).await
    }

    async fn send(
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
        match tokio::time::timeout(WAIT_LIMIT, answered).await {
            Ok(answers) => answers.map_err(|_| AcceptError::Busy),
            Err(_) => Err(lethe_core::ports::StoreError::Unavailable("busy".into()).into()),
        }
    }
}

/// The task that accepts erasures.
pub struct Acceptor {
    pub(super) deployment: DeploymentId,
    pub(super) ports: Ports,
    pub(super) key_state: Arc<KeyState>,
    pub(super) pending_erasures: Arc<PendingErasures>,
    pub(super) permissions: Arc<Permissions>,
    calls: mpsc::Receiver<Call>,
}

impl Acceptor {
    /// The task and its handle.
    #[must_use]
    pub fn new(
        deployment: DeploymentId,
        ports: Ports,
        key_state: Arc<KeyState>,
        pending_erasures: Arc<PendingErasures>,
        permissions: Arc<Permissions>,
    ) -> (Self, AcceptorHandle) {
        let (sender, calls) = mpsc::channel(MAX_WAITING);
        let acceptor = Self {
            deployment,
            ports,
            key_state,
            pending_erasures,
            permissions,
            calls,
        };
        let handle = AcceptorHandle {
            calls: sender,
            pending_erasures: Arc::clone(&acceptor.pending_erasures),
        };
        (acceptor, handle)
    }

    /// Runs until `stop`. A transaction that has begun is finished.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(call)) = stop.run_until_cancelled(self.calls.recv()).await {
            let mut items = call.requests.len();
            let mut calls = vec![call];
            while items < MAX_TOGETHER
                && let Ok(call) = self.calls.try_recv()
            {
                items += call.requests.len();
                calls.push(call);
            }
            // A caller that does not wait any more was answered that nothing was accepted.
            calls.retain(|call| !call.answer.is_closed());
            // An approval and its erasures have a transaction of their own.
            let (approved, calls): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|it| it.approval().is_some());
            for call in approved {
                AcceptBatch::new(&self, vec![call]).run().await;
            }
            if !calls.is_empty() {
                AcceptBatch::new(&self, calls).run().await;
            }
        }
    }
}
