//! A keyspace's smallest version: raised, it makes what older versions sealed unreadable at once, and
//! nobody can lower it: where the configuration says so, it waits.

use lethe_core::approval::{Act, Approval};
use lethe_core::keyspace::{KeyVersion, Policy};

use super::ask::Question;
use crate::forgetting::NotAccepted;
use crate::jobs::{KeeperError, Settings};
use crate::service::Service;

impl Question<'_> {
    /// Settings of a keyspace; none when they may be set at once, or are refused whoever sets them.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing waits.
    pub async fn settings(
        &self,
        policy: Policy,
        minimum: Option<KeyVersion>,
    ) -> Result<Option<Approval>, NotAccepted> {
        let keyring = self.service.live.keyring();
        let present = keyring.keyspaces.get(self.keyspace).cloned();
        drop(keyring);
        let (Some(minimum), Some(present)) = (minimum, present) else {
            return Ok(None);
        };
        let newest = present.versions.last().map(|it| it.tree.version);
        let raised = minimum > present.minimum_version && Some(minimum) <= newest;
        if !self.service.approvals.minimum_version || !raised {
            return Ok(None);
        }
        if policy != present.policy {
            return Err(NotAccepted::NotAlone);
        }
        let act = Act::RaiseMinimum(minimum);
        if let Some(approval) = self.same_act(act, None).await? {
            return Ok(Some(approval));
        }
        self.ask(act, present.id, &[]).await.map(Some)
    }
}

/// Sets what was approved; of a keyspace that has it, nothing.
pub(super) async fn raise(
    service: &Service,
    approval: &Approval,
    minimum: KeyVersion,
) -> Result<(), KeeperError> {
    let name = &approval.keyspace_name;
    let keyring = service.live.keyring();
    let present = keyring.keyspaces.get(name);
    let present = present.filter(|it| it.id == approval.keyspace);
    if present.is_some_and(|it| it.minimum_version >= minimum) {
        return Ok(());
    }
    drop(keyring);
    let settings = Settings {
        keyspace: Some(approval.keyspace),
        policy: None,
        minimum_version: Some(minimum),
        may_raise: true,
    };
    let put = service.keeper.put_keyspace(name.clone(), settings).await;
    put.map(drop)
}
