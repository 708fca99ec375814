//! One task accepts: rows of many callers in one transaction, and from then on their keys are
//! refused.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::GivenApproval;
use lethe_core::batch::Ports;
use lethe_core::identity::DeploymentId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::receipt::RequestId;
use tokio::sync::{mpsc, oneshot};

use super::group::Group;
use super::ledger::Ledger;
use super::wanted::{Admitted, NotAccepted, Wanted};
use crate::approvals::{Approvals, Caller, Permission};
use crate::node::live::Live;

/// Items that go into one transaction, about.
const TOGETHER: usize = 4_096;
/// Calls that wait, at most.
const WAITING: usize = 1_024;
/// For a call to be accepted.
const PATIENCE: Duration = Duration::from_secs(10);

/// One caller's wishes, and where the answers go.
pub(super) struct Call {
    pub(super) keyspace: KeyspaceName,
    pub(super) wanted: Vec<Wanted>,
    /// For an erase and a drop.
    pub(super) id: Option<RequestId>,
    pub(super) by: By,
    pub(super) answer: oneshot::Sender<Vec<Result<Admitted, NotAccepted>>>,
}

/// What allows new requests of a call.
pub(super) enum By {
    /// What [`Approvals::permit`] says of this client.
    Caller(Caller),
    /// This.
    Permission(Arc<Permission>),
}

impl Call {
    /// The approval that is given with it.
    pub(super) fn given(&self) -> Option<&GivenApproval> {
        match &self.by {
            By::Caller(_) => None,
            By::Permission(permission) => permission.given(),
        }
    }
}

/// Asks the acceptor.
#[derive(Clone)]
pub struct AcceptorHandle {
    calls: mpsc::Sender<Call>,
    ledger: Arc<Ledger>,
}

impl AcceptorHandle {
    /// Accepts, or refuses, each of `wanted`, in order: what is known already is answered, and what
    /// is new waits for a second operator where one is required
    /// ([`NotAccepted::NeedsApproval`]). Runs to its end even when nobody waits any more.
    ///
    /// # Errors
    /// [`NotAccepted`] of the whole call.
    pub async fn accept(
        &self,
        caller: &Caller,
        keyspace: KeyspaceName,
        id: Option<RequestId>,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Result<Admitted, NotAccepted>>, NotAccepted> {
        let by = By::Caller(caller.clone());
        self.ask(keyspace, id, wanted, by).await
    }

    /// The same for what is permitted already.
    ///
    /// # Errors
    /// [`NotAccepted`] of the whole call.
    pub async fn accept_permitted(
        &self,
        keyspace: KeyspaceName,
        wanted: Vec<Wanted>,
        permission: Permission,
    ) -> Result<Vec<Result<Admitted, NotAccepted>>, NotAccepted> {
        let by = By::Permission(Arc::new(permission));
        self.ask(keyspace, None, wanted, by).await
    }

    async fn ask(
        &self,
        keyspace: KeyspaceName,
        id: Option<RequestId>,
        wanted: Vec<Wanted>,
        by: By,
    ) -> Result<Vec<Result<Admitted, NotAccepted>>, NotAccepted> {
        let (answer, answered) = oneshot::channel();
        let call = Call {
            keyspace,
            wanted,
            id,
            by,
            answer,
        };
        if self.ledger.is_full() {
            return Err(NotAccepted::Busy);
        }
        self.calls.try_send(call).map_err(|_| NotAccepted::Busy)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answers) => answers.map_err(|_| NotAccepted::Busy),
            Err(_) => Err(lethe_core::ports::StoreError::Unavailable("busy".into()).into()),
        }
    }
}

/// The task.
pub struct Acceptor {
    pub(super) deployment: DeploymentId,
    pub(super) ports: Ports,
    pub(super) live: Arc<Live>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) approvals: Arc<Approvals>,
    calls: mpsc::Receiver<Call>,
}

impl Acceptor {
    /// The task, and how to ask it.
    #[must_use]
    pub fn new(
        deployment: DeploymentId,
        ports: Ports,
        live: Arc<Live>,
        ledger: Arc<Ledger>,
        approvals: Arc<Approvals>,
    ) -> (Self, AcceptorHandle) {
        let (sender, calls) = mpsc::channel(WAITING);
        let acceptor = Self {
            deployment,
            ports,
            live,
            ledger,
            approvals,
            calls,
        };
        let handle = AcceptorHandle {
            calls: sender,
            ledger: Arc::clone(&acceptor.ledger),
        };
        (acceptor, handle)
    }

    /// Works until every handle is gone.
    pub async fn run(mut self) {
        while let Some(call) = self.calls.recv().await {
            let mut items = call.wanted.len();
            let mut calls = vec![call];
            while items < TOGETHER
                && let Ok(call) = self.calls.try_recv()
            {
                items += call.wanted.len();
                calls.push(call);
            }
            // Who has given up was told that nothing was accepted.
            calls.retain(|call| !call.answer.is_closed());
            // An approval and its requests are one transaction, or none.
            let (approved, calls): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|it| it.given().is_some());
            for call in approved {
                Group::new(&self, vec![call]).run().await;
            }
            if !calls.is_empty() {
                Group::new(&self, calls).run().await;
            }
        }
    }
}
