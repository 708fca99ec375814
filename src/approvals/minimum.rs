//! A keyspace's smallest version: raised, it makes what older versions sealed unreadable at once, and
//! nobody can lower it: where the configuration says so, it waits.

use std::sync::Arc;

use lethe_core::approval::{Act, Approval};
use lethe_core::keyring::LiveKeyspace;
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
        let present = || {
            let keyring = self.service.live.keyring();
            keyring.keyspaces.get(self.keyspace).cloned()
        };
        let option = self.service.approvals.minimum_version;
        let Some((minimum, present)) = raised(option, minimum, present) else {
            return Ok(None);
        };
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

/// To which version a keyspace would be raised, where that waits. Most calls raise nothing, and
/// where none waits nobody looks.
fn raised(
    waits: bool,
    minimum: Option<KeyVersion>,
    present: impl FnOnce() -> Option<Arc<LiveKeyspace>>,
) -> Option<(KeyVersion, Arc<LiveKeyspace>)> {
    let minimum = minimum.filter(|_| waits)?;
    let present = present()?;
    let newest = present.versions.last().map(|it| it.tree.version);
    let raised = minimum > present.minimum_version && Some(minimum) <= newest;
    raised.then_some((minimum, present))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_where_nothing_can_wait() {
        let second = KeyVersion::new(2);
        for (waits, minimum) in [(false, second), (true, None), (false, None)] {
            let none = raised(waits, minimum, || panic!("looked"));
            assert!(none.is_none());
        }
        assert!(raised(true, second, || None).is_none());
    }
}
