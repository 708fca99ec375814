//! What the erase of a keyspace does to what waits in it: it goes with the keyspace.

use lethe_core::approval::{Approval, Scope};
use lethe_core::ports::StoreError;
use lethe_core::receipt::ErasureId;
use lethe_core::refusals::{Refusal, Target};

use crate::service::Service;

/// Whether the keyspace is there, and its erase not accepted. Another one may bear the name by now.
#[must_use]
pub fn keyspace_exists(service: &Service, scope: &Scope) -> bool {
    let keyring = service.key_state.keyring();
    let named = keyring.keyspaces.get(&scope.name);
    let erased = service.key_state.refusals.of(Target::Keyspace(scope.id));
    // While an erase is on its way to the disk nobody knows.
    named.is_some_and(|it| it.id == scope.id) && matches!(erased, None | Some(Refusal::Pending))
}

/// The erase that forgets what an approval was to forget, while the store remembers that erase.
///
/// # Errors
/// Of the store.
pub async fn superseding_erase(
    service: &Service,
    approval: &Approval,
) -> Result<Option<ErasureId>, StoreError> {
    match &approval.scope {
        Some(scope) if !keyspace_exists(service, scope) => {
            service.store.erase_of(&scope.name, scope.id).await
        }
        _ => Ok(None),
    }
}
